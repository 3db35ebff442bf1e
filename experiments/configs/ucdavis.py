"""The QUIC dataset of the paper, Table III (UC Davis, "ucdavis-icdm19").

    python -m experiments.label_budget --config=experiments/configs/ucdavis.py \
        --workdir=runs/ucdavis

It is fetched and prepared the first time. --manual_dir=DIR takes the original zips,
their folders or the curated Parquet file from there instead.
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "ucdavis_icdm19"
  config.train_partition = "pretraining"
  config.paper = (
    ("multitask", 10, 89.33, 91.00, 93.33),
    ("multitask", 20, 90.33, 91.33, 94.67),
    ("multitask", 50, 90.67, 91.33, 96.00),
    ("multitask", 100, 90.67, 92.00, 97.33),
  )
  return config
