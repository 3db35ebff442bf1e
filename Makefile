# `make run` and `make test` set up whatever they need in .venv first.

PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/simulated
# Of `make paper`. DATASET is what --dataset takes, the config's if empty.
CONFIG ?= ucdavis
DATASET ?=
PAPER ?= runs/paper

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test lint paper benchmark clean

run: $(STAMP)
	$(BIN)/python -m experiments.label_budget --workdir=$(WORKDIR)

test: $(STAMP) lint
	$(BIN)/python -m pytest -n auto

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The paper's whole evaluation, with a report. An hour or two; it can be interrupted.
paper: $(STAMP)
	$(BIN)/python -m experiments.paper --config=$(CONFIG) --workdir=$(PAPER) \
	    $(if $(DATASET),--dataset=$(DATASET))

benchmark: $(STAMP)
	$(BIN)/python -m benchmarks.training

# Installed anew when the dependencies change. The stamp is written last, so an
# installation that broke off is tried again.
$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV)
