"""Accuracy against labels per class, averaged over seeds (Tables III and V).

Writes `config.json`, `results.jsonl`, `table.md`, `table.csv` and `label_budget.png` to
the work directory. Called again with the same directory it continues where it stopped,
and more seeds, budgets or methods are added to what is there.
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
  asked_for = runs.label_budgets(config)
  sweep = open_sweep(config, _WORKDIR.value, asked_for)
  rows = sweep.finish()

  paper = {(method, labels): values for method, labels, *values in config.paper}
  table = reporting.accuracy_table(
    rows, ("method", "labels_per_class"), paper, reference=("method", "multitask")
  )
  reporting.label_budget_figure(rows, paper, sweep.workdir.path / "label_budget.png")
  sweep.conclude(table)


if __name__ == "__main__":
  cli.run(main)
