"""Accuracy against labels per class, averaged over seeds (Tables III and V).

Writes `config.json`, `results.jsonl`, `table.md` and `label_budget.png` to the work
directory. Called again with the same directory it continues where it stopped, and more
seeds, budgets or methods are added to what is there.
"""

import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from experiments import cli, runs
from mtl_traffic import reporting

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  str(pathlib.Path(__file__).parent / "configs" / "simulated.py"),
  "The settings; --config.NAME=VALUE changes one.",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where results go.", required=True)


def main(argv: Sequence[str]) -> None:
  del argv
  config = _CONFIG.value
  runs.check(config)
  dataset, flows = cli.load_flows(config.dataset)
  sweep = runs.Sweep(config, dataset, flows, _WORKDIR.value)
  rows = sweep.finish(sweep.runs())

  paper = {(method, labels): values for method, labels, *values in config.paper}
  table = reporting.label_budget_table(rows, paper)
  sweep.workdir.write_text("table.md", table)
  reporting.label_budget_figure(rows, paper, sweep.workdir.path / "label_budget.png")
  print(table)
  print(f"Results are in {sweep.workdir.path}/")


if __name__ == "__main__":
  cli.run(main)
