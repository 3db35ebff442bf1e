"""Accuracy against λ, the weight of the class task (Figures 6 and 8).

All of `config.lambdas` are one program. The paper has 20 labels per class:
`--config.labels_per_class='(20,)' --config.methods='("multitask",)'`. Writes what
`label_budget` writes.
"""

import pathlib
from collections.abc import Mapping

import ml_collections

from experiments import runs
from experiments.experiment import Experiment
from mtl_traffic import figures, reporting


def _runs(config: ml_collections.ConfigDict) -> list[runs.Run]:
  return [
    run for value in config.lambdas for run in runs.label_budgets(config, lambda_=value)
  ]


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  del paper  # It has a figure only.
  return reporting.accuracy_table(rows, ("method", "labels_per_class", "lambda"))


def _figure(rows: list[dict], paper: Mapping, path: pathlib.Path) -> None:
  del paper
  figures.sweep_figure(rows, "lambda", "λ", path, logarithmic=True)


EXPERIMENT = Experiment(
  name="lambda_sweep",
  title="Accuracy against the weight λ of the class task (Figures 6 and 8)",
  runs=_runs,
  table=_table,
  figure=_figure,
  swept=("lambda_",),
)

if __name__ == "__main__":
  EXPERIMENT.main()
