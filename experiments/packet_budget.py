"""Accuracy against the number of packets that the network reads (Figures 5 and 7).

The paper does not say with how many labels; `config.labels_per_class` does. One program
for each k in `config.packet_budgets`. Writes what `label_budget` writes.
"""

from collections.abc import Sequence

from absl import flags

from experiments import cli, runs
from experiments.sweep import open_sweep
from mtl_traffic import reporting

_CONFIG = cli.config_flag("simulated.py")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where results go.", required=True)


def main(argv: Sequence[str]) -> None:
  del argv
  config = _CONFIG.value
  asked_for = [
    run for k in config.packet_budgets for run in runs.label_budgets(config, k=k)
  ]
  sweep = open_sweep(config, _WORKDIR.value, asked_for, swept=("k",))
  rows = sweep.finish()
  table = reporting.accuracy_table(rows, ("method", "labels_per_class", "k"))
  figure = sweep.workdir.path / "packet_budget.png"
  reporting.sweep_figure(rows, "k", "packets", figure)
  sweep.conclude(table)


if __name__ == "__main__":
  cli.run(main)
