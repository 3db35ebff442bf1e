"""Accuracy against the number of packets that the network reads (Figures 5 and 7).

The paper does not say with how many labels; `config.labels_per_class` does. One program
for each k in `config.packet_budgets`. Writes what `label_budget` writes.
"""

import pathlib
from collections.abc import Mapping

import ml_collections

from experiments import runs
from experiments.experiment import Experiment
from mtl_traffic import figures, reporting


def _runs(config: ml_collections.ConfigDict) -> list[runs.Run]:
  return [run for k in config.packet_budgets for run in runs.label_budgets(config, k=k)]


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  del paper  # It has a figure only.
  return reporting.accuracy_table(rows, ("method", "labels_per_class", "k"))


def _figure(rows: list[dict], paper: Mapping, path: pathlib.Path) -> None:
  del paper
  figures.sweep_figure(rows, "k", "packets", path)


EXPERIMENT = Experiment(
  name="packet_budget",
  title="Accuracy against the number of packets (Figures 5 and 7)",
  runs=_runs,
  table=_table,
  figure=_figure,
  swept=("k",),
)

if __name__ == "__main__":
  EXPERIMENT.main()
