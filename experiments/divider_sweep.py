"""Accuracy with other bandwidth and duration dividers (Table IV).

Goes through `config.divider_rows`, pairs of bandwidth (bytes/s) and duration (s)
dividers; an empty list is the midpoints between the labelled flows' class averages.
Rows with equally many dividers are one program. Writes what `label_budget` writes.
"""

from collections.abc import Sequence

from absl import flags

from experiments import cli, runs
from experiments.sweep import open_sweep
from mtl_traffic import reporting

_CONFIG = cli.config_flag("simulated.py")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where results go.", required=True)
_FIELDS = ("bandwidth_dividers", "duration_dividers")


def main(argv: Sequence[str]) -> None:
  del argv
  config = _CONFIG.value
  asked_for = [
    run
    for row in config.divider_rows
    for run in runs.label_budgets(
      config, **{name: tuple(d) for name, d in zip(_FIELDS, row, strict=True)}
    )
  ]
  sweep = open_sweep(config, _WORKDIR.value, asked_for, swept=_FIELDS)
  rows = sweep.finish()
  paper = {
    (tuple(bandwidth), tuple(duration)): values
    for bandwidth, duration, *values in config.paper_dividers
  }
  sweep.conclude(reporting.accuracy_table(rows, _FIELDS, paper))


if __name__ == "__main__":
  cli.run(main)
