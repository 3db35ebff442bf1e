"""What other cheap targets do for the class task (section VI of the paper).

Goes through `config.task_sets`, each a program of its own; the names are those of
`mtl_traffic/tasks.py`. Differences are to the paper's bandwidth and duration. Writes
what `label_budget` writes.
"""

from collections.abc import Sequence

from absl import flags

from experiments import cli, runs
from experiments.sweep import open_sweep
from mtl_traffic import reporting
from mtl_traffic.tasks import MAIN_TASKS

_CONFIG = cli.config_flag("simulated.py")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where results go.", required=True)


def main(argv: Sequence[str]) -> None:
  del argv
  config = _CONFIG.value
  asked_for = [
    run
    for tasks in config.task_sets
    for run in runs.label_budgets(config, tasks=tuple(tasks))
  ]
  sweep = open_sweep(config, _WORKDIR.value, asked_for, swept=("tasks",))
  rows = sweep.finish()
  sweep.conclude(
    reporting.accuracy_table(
      rows, ("tasks", "labels_per_class"), reference=("tasks", list(MAIN_TASKS))
    )
  )


if __name__ == "__main__":
  cli.run(main)
