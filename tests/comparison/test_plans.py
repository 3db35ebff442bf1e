import pytest

from mtl_traffic.comparison import plans
from mtl_traffic.comparison.workdir import WorkDir
from mtl_traffic.runs import Run
from mtl_traffic.settings import Settings

SETTINGS = Settings(num_seeds=7, labels_per_class=(10, 20))


def names(steps):
  return [step.experiment.name for step in steps]


def test_the_paper_has_its_tables_and_five_seeds_of_each_sweep():
  steps = plans.of_paper(SETTINGS, ["multitask", "nearest_neighbor"])
  tables, *sweeps = steps
  assert names(steps) == ["label_budget", *plans._SWEEPS]
  asked = {(run.method, run.labels_per_class) for run in tables.runs}
  assert asked == {
    ("multitask", 10),
    ("multitask", 20),
    ("nearest_neighbor", 10),
    ("nearest_neighbor", 20),
    ("multitask", "all"),
  }
  assert len(tables.runs) == 5 * 7
  for step in sweeps:
    assert {run.method for run in step.runs} == {"multitask"}
    assert {run.seed for run in step.runs} == set(range(5))


def test_evidence_has_every_budget_of_every_method_and_quick_ones_first():
  methods = ["multitask", plans.OURS, "nearest_neighbor"]
  steps = plans.of_evidence(SETTINGS, methods)
  three = ["label_budget", "ablation", "labelling"]
  assert names(steps) == [*three, *three, *plans._SWEEPS, "loss_balancing"]
  quick, *_ = steps
  assert {run.method for run in quick.runs} == {plans.OURS, "nearest_neighbor"}
  everything = steps[3].runs
  assert {run.method for run in everything} == set(methods)
  for method in methods:
    budgets = [run.labels_per_class for run in everything if run.method == method]
    assert budgets == 7 * [1, 5, 10, 20, 50, 100, "all"]
  labelled = {run.labelling for run in steps[5].runs if run.method == "multitask"}
  assert labelled == {"random", "uniform", "chosen"}
  assert all({run.seed for run in step.runs} == set(range(7)) for step in steps)


def test_evidence_labels_flows_in_three_ways_for_ten_seeds_at_most():
  steps = plans.of_evidence(SETTINGS.replace(num_seeds=12), ["nearest_neighbor"])
  seeds = {step.experiment.name: len({run.seed for run in step.runs}) for step in steps}
  assert seeds == dict.fromkeys(seeds, 12) | {"labelling": 10}


def test_one_kind_of_method_is_one_round():
  steps = plans.of_evidence(SETTINGS, ["nearest_neighbor"])
  assert names(steps)[:2] == ["label_budget", "labelling"]
  assert names(steps)[2:] == [*plans._SWEEPS, "loss_balancing"]


def row(run, seconds):
  return run.identity() | {"seconds": seconds}


def test_what_is_left_takes_as_long_as_what_was_done():
  (step, *_) = plans.of_evidence(SETTINGS, ["nearest_neighbor", plans.OURS])
  quick = [run for run in step.runs if run.method == "nearest_neighbor"]
  ours = [run for run in step.runs if run.method == plans.OURS]
  rows = [row(quick[0], 1.0), row(quick[1], 3.0), row(ours[0], 10.0)]
  expected = 2 * (len(quick) - 2) + 10 * (len(ours) - 1)
  assert plans.seconds_left([step, step], rows) == pytest.approx(expected)
  # A method without rows counts as the slowest. Without any rows the estimate is 0.
  assert plans.seconds_left([step], rows[:2]) == pytest.approx(
    2 * (len(quick) - 2) + 2 * len(ours)
  )
  assert plans.seconds_left([step], []) == 0


def test_rows_are_those_of_all_folders(tmp_path):
  runs = [Run("multitask", 1, seed, k=60, packets=60) for seed in range(3)]
  for name, some in (("one", runs[:1]), ("two", runs[1:])):
    workdir = WorkDir(tmp_path / name, {}, {})
    workdir.append(row(run, 1.0) for run in some)
    workdir.close()
  found = [Run.of(one) for one in plans.rows_below(tmp_path)]
  assert found == runs
