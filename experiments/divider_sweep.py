"""Accuracy with other bandwidth and duration dividers (Table IV).

Goes through `config.divider_rows`, pairs of bandwidth (bytes/s) and duration (s)
dividers; an empty list is the midpoints between the labelled flows' class averages.
Rows with equally many dividers are one program. Writes what `label_budget` writes.
"""

from collections.abc import Mapping

import ml_collections

from experiments import runs
from experiments.experiment import Experiment
from mtl_traffic import reporting

_FIELDS = ("bandwidth_dividers", "duration_dividers")


def _runs(config: ml_collections.ConfigDict) -> list[runs.Run]:
  return [
    run
    for row in config.divider_rows
    for run in runs.label_budgets(
      config, **{name: tuple(d) for name, d in zip(_FIELDS, row, strict=True)}
    )
  ]


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  of_paper = {
    (tuple(bandwidth), tuple(duration)): values
    for bandwidth, duration, *values in paper["paper_dividers"]
  }
  several = len(reporting.group(rows, "method", "labels_per_class")) > 1
  return reporting.accuracy_table(
    rows,
    ("method", "labels_per_class") * several + _FIELDS,
    of_paper if not several else None,
    reference=dict.fromkeys(_FIELDS, ()),
    reference_name="midpoints",
  )


EXPERIMENT = Experiment(
  name="divider_sweep",
  title="Accuracy with other dividers (Table IV)",
  runs=_runs,
  table=_table,
  swept=_FIELDS,
)

if __name__ == "__main__":
  EXPERIMENT.main()
