"""What the authors' code does otherwise than the paper says, and what it changes.

Each variant alone, then all of them: the mask on the class head's features instead of
on the loss, lengths without direction, and fixed dividers. Writes what `label_budget`
writes.
"""

from collections.abc import Mapping

import ml_collections

from experiments import runs
from experiments.experiment import Experiment
from mtl_traffic import reporting

_AS_THE_PAPER_SAYS = {
  "mask": "loss",
  "signed_lengths": True,
  "bandwidth_dividers": (),
  "duration_dividers": (),
}
_FIXED_DIVIDERS = {
  "bandwidth_dividers": (10e3, 50e3, 100e3, 1e6),
  "duration_dividers": (10.0, 30.0, 60.0),
}
_VARIANTS = (
  {},
  {"mask": "features"},
  {"signed_lengths": False},
  _FIXED_DIVIDERS,
  {"mask": "features", "signed_lengths": False, **_FIXED_DIVIDERS},
)


def _runs(config: ml_collections.ConfigDict) -> list[runs.Run]:
  return [
    run
    for variant in _VARIANTS
    for run in runs.label_budgets(config, **{**_AS_THE_PAPER_SAYS, **variant})
  ]


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  del paper
  return reporting.accuracy_table(
    rows,
    ("labels_per_class", *_AS_THE_PAPER_SAYS),
    reference=_AS_THE_PAPER_SAYS,
    reference_name="as the paper says",
  )


EXPERIMENT = Experiment(
  name="authors_variants",
  title="What the authors' code does otherwise than the paper says",
  runs=_runs,
  table=_table,
  swept=tuple(_AS_THE_PAPER_SAYS),
)

if __name__ == "__main__":
  EXPERIMENT.main()
