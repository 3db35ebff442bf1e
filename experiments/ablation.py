"""What each part of our method contributes.

`forest_propagation`, and the same without one of its parts at a time; differences are
to the whole, on the same draws. `config.methods` is ignored. Writes what
`label_budget` writes, but its figure.

    python -m experiments.ablation --config=experiments/configs/ucdavis.py \
        --workdir=runs/ablation --config.num_seeds=5
"""

import copy
from collections.abc import Mapping

import ml_collections

from experiments import runs
from experiments.experiment import Experiment
from mtl_traffic import reporting
from mtl_traffic.methods import ABLATIONS

WHOLE = "forest_propagation"


def _runs(config: ml_collections.ConfigDict) -> list[runs.Run]:
  config = copy.deepcopy(config)
  config.methods = (WHOLE, *ABLATIONS)
  return runs.label_budgets(config)


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  del paper
  return reporting.accuracy_table(
    rows,
    ("labels_per_class", "method"),
    reference={"method": WHOLE},
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
