"""What other cheap targets do for the class task (section VI of the paper).

Goes through `config.task_sets`, each a program of its own; the names are those of
`mtl_traffic/tasks.py`. Differences are to the paper's bandwidth and duration. Writes
what `label_budget` writes.
"""

from collections.abc import Mapping

import ml_collections

from experiments import runs
from experiments.experiment import Experiment
from mtl_traffic import reporting
from mtl_traffic.tasks import MAIN_TASKS


def _runs(config: ml_collections.ConfigDict) -> list[runs.Run]:
  return [
    run
    for tasks in config.task_sets
    for run in runs.label_budgets(config, tasks=tuple(tasks))
  ]


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  del paper  # It leaves this open.
  return reporting.accuracy_table(
    rows,
    ("tasks", "labels_per_class"),
    reference={"tasks": MAIN_TASKS},
    reference_name=", ".join(MAIN_TASKS),
  )


EXPERIMENT = Experiment(
  name="auxiliary_tasks",
  title="Other targets beside the class (section VI)",
  runs=_runs,
  table=_table,
  swept=("tasks",),
)

if __name__ == "__main__":
  EXPERIMENT.main()
