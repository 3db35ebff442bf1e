"""Tests of the experiments' runs and tables: lines never pool different settings."""

import itertools

import numpy as np
import pytest

from mtl_traffic import sweeps
from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.comparison.conduct import conduct
from mtl_traffic.comparison.workdir import read_rows
from mtl_traffic.errors import InputError
from mtl_traffic.methods.multitask import Multitask
from mtl_traffic.runs import Run
from mtl_traffic.settings import Settings

SMALL = Settings(
  methods=("multitask",),
  labels_per_class=(4,),
  num_seeds=2,
  test_per_class=5,
  validation_per_class=4,
  k=8,
  epochs=1,
  packet_budgets=(7, 8),
  shortest_prefix=3,
  learning_rates=(1e-3, 3e-2),
)


@pytest.fixture
def fits(monkeypatch):
  """Records k and the number of runs of every fit of multitask."""
  fit, seen = Multitask.fit, []

  def counted(method, problem, drawn, *args, **kwargs):
    seen.append((problem.inputs.shape[1], len(drawn.num_labelled)))
    return fit(method, problem, drawn, *args, **kwargs)

  monkeypatch.setattr(Multitask, "fit", counted)
  return seen


def _made_up_rows(runs):
  """A row for each run, with an accuracy that identifies method, labels and seed."""
  accuracy = {"multitask": 0.5, "single_task": 0.2}
  return [
    {
      "partition": "p",
      **run.identity(),
      "class_accuracy": accuracy[run.method] + run.labels_per_class / 100,
      "bandwidth_accuracy": None,
      "duration_accuracy": None,
    }
    for run in runs
  ]


@pytest.mark.parametrize(
  "name",
  [
    name
    for name in EXPERIMENTS
    if name not in ("any_k", "ablation", "label_budget", "labelling", "protocol")
  ],
)
def test_no_line_pools_methods_or_label_budgets(name):
  settings = Settings(
    methods=("multitask", "single_task"),
    labels_per_class=(10, 20),
    num_seeds=2,
    divider_rows=(((), ()), ((1e5,), (30.0,))),
  )
  experiment = EXPERIMENTS[name]
  runs = experiment.runs(settings)
  table = experiment.table(_made_up_rows(runs), {"paper_dividers": ()})
  column = table.header.index("class")
  # Rows of one line have the same accuracy, so each interval has width 0.
  assert {line[column] for line in table.rows} == {
    f"{percent} ± 0.0" for percent in ("60.0", "70.0", "30.0", "40.0")
  }
  of_line = {"method", "labels/class"} <= set(table.header)
  assert of_line
  # One line per setting, method and budget, with two seeds each.
  assert len(table.rows) == len(runs) / 2
  assert {line[table.header.index("seeds")] for line in table.rows} == {2}


def test_no_way_to_label_pools_methods_or_label_budgets():
  settings = Settings(
    methods=("multitask", "single_task"), labels_per_class=(10, 20), num_seeds=2
  )
  experiment = EXPERIMENTS["labelling"]
  runs = experiment.runs(settings)
  table = experiment.table(_made_up_rows(runs), {})
  # The three ways are columns of one line, with two seeds each.
  assert len(table.rows) == len(runs) / 6
  first = table.header.index("per class")
  assert [line[first : first + 3] for line in table.rows] == [
    [f"{percent} ± 0.0"] * 3 for percent in ("60.0", "70.0", "30.0", "40.0")
  ]
  assert {line[-1] for line in table.rows} == {2}


@pytest.mark.parametrize("name", ["auxiliary_tasks", "authors_variants"])
def test_a_line_differs_from_the_reference_of_its_own_method_and_budget(name):
  settings = Settings(
    methods=("multitask", "single_task"), labels_per_class=(10, 20), num_seeds=2
  )
  experiment = EXPERIMENTS[name]
  table = experiment.table(_made_up_rows(experiment.runs(settings)), {})
  # All settings of a method and budget have the same accuracy.
  assert {line[-1] for line in table.rows} == {"", "+0.0 ± 0.0"}
  assert [line[-1] for line in table.rows].count("") == 4


def _conducted(name, settings, flows, path):
  conduct(EXPERIMENTS[name], settings, "small", flows, path)
  return read_rows(path)


def _of_any(row):
  return row["shortest_prefix"] is not None


def test_any_k_fits_each_model_once_and_asks_it_at_every_number(flows, tmp_path, fits):
  rows = _conducted("any_k", SMALL, flows, tmp_path)
  asked = {
    kind: sorted((row["packets"], row["k"], row["seed"]) for row in of_kind)
    for kind, of_kind in itertools.groupby(sorted(rows, key=_of_any), key=_of_any)
  }
  assert asked[False] == [(7, 7, 0), (7, 7, 1), (8, 8, 0), (8, 8, 1)]
  assert asked[True] == [(7, 8, 0), (7, 8, 1), (8, 8, 0), (8, 8, 1)]
  # One program for each k, and one for any k.
  assert sorted(fits) == [(7, 2), (8, 2), (8, 2)]
  # At 8 packets the two models differ only in their training.
  of_eight = [row for row in rows if row["packets"] == 8 and row["seed"] == 0]
  assert len({Run.of(row) for row in of_eight}) == 2
  table = (tmp_path / "table.md").read_text().splitlines()
  lines = [[cell.strip() for cell in line.split("|")[1:4]] for line in table[4:]]
  assert lines == [["–", "4", "7"], ["–", "4", "8"], ["3", "4", "7"], ["3", "4", "8"]]


def test_any_k_adds_budgets_and_fits_only_what_is_missing(flows, tmp_path, fits):
  first = _conducted("any_k", SMALL, flows, tmp_path)
  fits.clear()
  _conducted("any_k", SMALL, flows, tmp_path)
  assert fits == []
  # A network needs six packets, so at 5 there is only the model for any number.
  more = SMALL.replace(packet_budgets=(5, 6, 7, 8))
  rows = _conducted("any_k", more, flows, tmp_path)
  assert rows[: len(first)] == first
  runs = [Run.of(row) for row in rows]
  assert len(set(runs)) == len(runs)
  assert set(runs) == set(EXPERIMENTS["any_k"].runs(more))
  assert sorted(fits) == [(6, 2), (8, 2)]
  assert {row["packets"] for row in rows if _of_any(row)} == {5, 6, 7, 8}
  assert {row["packets"] for row in rows if not _of_any(row)} == {6, 7, 8}


def test_the_figure_of_any_k_tells_the_models_apart():
  runs = EXPERIMENTS["any_k"].runs(SMALL)
  figure = EXPERIMENTS["any_k"].figure(_made_up_rows(runs), {})
  drawn = [text.get_text() for text in figure.axes[0].texts]
  assert len(set(drawn)) == len(drawn) == 2
  assert sum("any k" in label for label in drawn) == 1


def test_any_k_begins_at_no_more_than_its_least_budget():
  with pytest.raises(InputError, match="shortest_prefix = 8 must be 1 to 7"):
    EXPERIMENTS["any_k"].runs(SMALL.replace(shortest_prefix=8))


def test_learning_rates_are_rows_of_one_program(flows, tmp_path, fits):
  sweeps._train_epochs.clear_cache()
  rows = _conducted("learning_rate_sweep", SMALL, flows, tmp_path)
  assert fits == [(8, 4)]
  assert sweeps._train_epochs._cache_size() == 1
  rates = [row["learning_rate"] for row in rows]
  assert sorted(rates) == [1e-3, 1e-3, 3e-2, 3e-2]
  table = (tmp_path / "table.md").read_text()
  assert len(table.splitlines()) == 2 + 2 + 2
  # A learning rate 30 times as large gives other parameters.
  of_rate = {
    rate: [row["class_confusion"] for row in rows if row["learning_rate"] == rate]
    for rate in rates
  }
  assert of_rate[1e-3] != of_rate[3e-2]


def test_a_protocol_tests_on_every_flow_that_does_not_train(flows, tmp_path):
  settings = SMALL.replace(
    methods=("nearest_neighbor",),
    labels_per_class=(2, 6),
    test_per_class=-6,
    validation_per_class=0,
    published=(("elsewhere", 6, "theirs", 98.7, 0.2, None, 15, "Table 4"),),
  )
  rows = _conducted("protocol", settings, flows, tmp_path)
  left = np.bincount(flows.classes) - 6
  for row in rows:
    assert np.sum(row["class_confusion"], axis=1).tolist() == left.tolist()
  introduction, _, header, _, *lines = (tmp_path / "table.md").read_text().splitlines()
  assert "weighted F1" in introduction
  assert "macro F1" not in introduction + header
  assert [line.split("|")[1].strip() for line in lines] == ["all", "all", "elsewhere"]
