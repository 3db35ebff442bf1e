"""Accuracy against λ, the weight of the class task (Figures 6 and 8).

All of `config.lambdas` are one program. The paper has 20 labels per class:
`--config.labels_per_class='(20,)' --config.methods='("multitask",)'`. Writes what
`label_budget` writes.
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
    run for value in config.lambdas for run in runs.label_budgets(config, lambda_=value)
  ]
  sweep = open_sweep(config, _WORKDIR.value, asked_for, swept=("lambda_",))
  rows = sweep.finish()
  table = reporting.accuracy_table(rows, ("method", "labels_per_class", "lambda"))
  figure = sweep.workdir.path / "lambda_sweep.png"
  reporting.sweep_figure(rows, "lambda", "λ", figure, logarithmic=True)
  sweep.conclude(table)


if __name__ == "__main__":
  cli.run(main)
