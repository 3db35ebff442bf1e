"""Plans of several experiments on one dataset, with their settings and runs."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from mtl_traffic.comparison.catalogue import EXPERIMENTS, OURS
from mtl_traffic.comparison.experiment import Experiment
from mtl_traffic.comparison.workdir import read_rows
from mtl_traffic.runs import Run
from mtl_traffic.settings import ALL, Settings

LABEL_BUDGETS = (1, 5, 10, 20, 50, 100, ALL)
# Each varies one thing, for `multitask` only.
_SWEEPS = (
  "packet_budget",
  "lambda_sweep",
  "divider_sweep",
  "auxiliary_tasks",
  "authors_variants",
)
# Labels per class in sweeps: the paper's number, or else one where effects are visible.
_SWEEP_LABELS = {"auxiliary_tasks": (10,)}
_OTHER_SWEEP_LABELS = (20,)
_PAPER_SWEEP_SEEDS = 5
# Methods that `of_paper` also runs with all labels, as the paper does for single_task.
_WITH_ALL_LABELS = ("multitask", "single_task", OURS)
# Labels per class of `labelling` and `ablation`, whose effects show with few labels.
_FEW_LABELS = (1, 5, 20)
# Three ways to label at each budget: with more seeds it would take longest of all.
_MOST_LABELLING_SEEDS = 10


class Step(NamedTuple):
  """A part of a plan. Steps of one experiment add to the same directory."""

  experiment: Experiment
  settings: Settings
  runs: list[Run]


def of_paper(settings: Settings, methods: Sequence[str]) -> list[Step]:
  """Tables III and V with the given methods, then each sweep over five seeds.

  Args:
    settings: see `Settings`.
    methods: the methods in the tables.
  """
  tables = settings.replace(methods=tuple(methods))
  runs = EXPERIMENTS["label_budget"].runs(tables)
  with_all = tuple(method for method in methods if method in _WITH_ALL_LABELS)
  if with_all:
    all_labels = settings.replace(methods=with_all, labels_per_class=(ALL,))
    runs += EXPERIMENTS["label_budget"].runs(all_labels)
  seeds = min(settings.num_seeds, _PAPER_SWEEP_SEEDS)
  sweeps = _sweeps(settings, _SWEEPS, seeds)
  return [Step(EXPERIMENTS["label_budget"], tables, runs), *sweeps]


def of_evidence(settings: Settings, methods: Sequence[str]) -> list[Step]:
  """The given methods at every budget, and all other experiments; networks come last.

  Args:
    settings: see `Settings`; its label budgets are replaced.
    methods: the methods in the tables.
  """
  from mtl_traffic.methods import METHODS  # Imports JAX, which reports do not need.

  quick = [method for method in methods if not METHODS[method].fits_together]
  steps = []
  # First the quick methods, then all methods, so that the final tables contain all. The
  # quick ones are not run again.
  for some in dict.fromkeys((tuple(quick), tuple(methods))):
    if not some:
      continue
    mine = settings.replace(methods=some)
    budgets = mine.replace(labels_per_class=LABEL_BUDGETS)
    steps.append(_step("label_budget", budgets))
    if OURS in some:
      steps.append(_step("ablation", mine.replace(labels_per_class=_FEW_LABELS)))
    seeds = min(settings.num_seeds, _MOST_LABELLING_SEEDS)
    few = mine.replace(labels_per_class=_FEW_LABELS, num_seeds=seeds)
    steps.append(_step("labelling", few))
  sweeps = (*_SWEEPS, "loss_balancing")
  return steps + _sweeps(settings, sweeps, settings.num_seeds)


def seconds_left(steps: Iterable[Step], rows: Iterable[dict]) -> float:
  """Estimates how long the runs that have no row yet will take, in seconds.

  A run is expected to take the mean time of its method's finished runs. If the method
  has none, it is expected to take as long as the slowest method.

  Args:
    steps: the steps of the plan.
    rows: the finished rows.
  """
  seconds: dict[str, list[float]] = {}
  done = set()
  for row in rows:
    seconds.setdefault(row["method"], []).append(row["seconds"])
    done.add(Run.of(row))
  means = {method: float(np.mean(values)) for method, values in seconds.items()}
  slowest = max(means.values(), default=0.0)
  left = {run for step in steps for run in step.runs} - done
  return sum(means.get(run.method, slowest) for run in left)


def rows_below(workdir: pathlib.Path) -> list[dict]:
  """The rows of all experiments in the folders of a directory."""
  folders = sorted(path.parent for path in workdir.glob("*/results.jsonl"))
  return [row for folder in folders for row in read_rows(folder)]


def _step(name: str, settings: Settings) -> Step:
  return Step(EXPERIMENTS[name], settings, EXPERIMENTS[name].runs(settings))


def _sweeps(settings: Settings, names: Sequence[str], num_seeds: int) -> list[Step]:
  return [
    _step(
      name,
      settings.replace(
        methods=("multitask",),
        labels_per_class=_SWEEP_LABELS.get(name, _OTHER_SWEEP_LABELS),
        num_seeds=num_seeds,
      ),
    )
    for name in names
  ]
