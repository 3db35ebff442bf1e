"""What each part of our method contributes.

`forest_propagation`, and the same without one of its parts at a time; differences are
to the whole, on the same draws. Writes what `label_budget` writes.

    python -m experiments.ablation --config=experiments/configs/ucdavis.py \
        --workdir=runs/ablation --config.num_seeds=5
"""

from collections.abc import Mapping

import ml_collections

from experiments import runs
from experiments.experiment import Experiment
from mtl_traffic import reporting
from mtl_traffic.methods import ABLATIONS

_WHOLE = "forest_propagation"


def _runs(config: ml_collections.ConfigDict) -> list[runs.Run]:
  return [
    run
    for method in (_WHOLE, *ABLATIONS)
    for run in runs.label_budgets(config, method=method)
  ]


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  del paper
  return reporting.accuracy_table(
    rows,
    ("labels_per_class", "method"),
    reference={"method": _WHOLE},
    reference_name="the whole",
  )


EXPERIMENT = Experiment(
  name="ablation",
  title="What each part of our method contributes",
  runs=_runs,
  table=_table,
)

if __name__ == "__main__":
  EXPERIMENT.main()
