# Targets set up whatever they need in .venv first; that needs a network.

PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/simulated
# Of `make paper`. DATASET is what --dataset takes, the config's if empty.
CONFIG ?= ucdavis
DATASET ?=
PAPER ?= runs/paper
# Of `make evidence`: the same for each dataset. CONFIGS may name fewer.
EVIDENCE ?= runs/evidence
CONFIGS ?= video_sessions iot_devices iscx ucdavis
ucdavis ?=
iscx ?=
iot_devices ?=
video_sessions ?=
SEEDS ?= 20

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs

.PHONY: run test test-all coverage lint docs paper evidence benchmark clean

run: $(STAMP)
	$(BIN)/python -m experiments.label_budget --workdir=$(WORKDIR)

# What a change is tried with while it is written; test-all has the slow tests too.
test: $(STAMP) lint
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: $(STAMP) lint
	$(BIN)/python -m pytest -n auto --dist worksteal

coverage: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal --cov=mtl_traffic --cov-report=term:skip-covered

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site in site/. A broken link or reference is an error.
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# The paper's whole evaluation, with a report. An hour or two; it can be interrupted.
paper: $(STAMP)
	$(BIN)/python -m experiments.paper --config=$(CONFIG) --workdir=$(PAPER) \
	    $(if $(DATASET),--dataset=$(DATASET))

# Every method and experiment on every dataset, then a page that compares them. A day
# or so on two cores; it can be interrupted. For example
# make evidence ucdavis=quic.parquet iscx=iscx.parquet CONFIGS='ucdavis iscx'
evidence: $(STAMP) $(CONFIGS:%=evidence-%)
	$(BIN)/mtl-traffic report --workdir=$(EVIDENCE)

evidence-%: $(STAMP)
	$(BIN)/python -m experiments.evidence --config=$* --workdir=$(EVIDENCE)/$* \
	    --config.num_seeds=$(SEEDS) $(if $($*),--dataset=$($*))

benchmark: $(STAMP)
	$(BIN)/python -m benchmarks.training

# Installed anew when the dependencies change. The stamp is written last, so an
# installation that broke off is tried again.
$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) site
