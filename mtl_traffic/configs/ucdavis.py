"""The QUIC dataset of the paper, Table III (UC Davis, "ucdavis-icdm19").

    python -m experiments.label_budget --config=ucdavis \
        --workdir=runs/ucdavis

It is fetched and prepared the first time. --manual_dir=DIR takes the original zips,
their folders or the curated Parquet file from there instead.
"""

import ml_collections

from mtl_traffic.configs import common


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "ucdavis_icdm19"
  config.train_partition = "pretraining"
  config.paper_dataset = "QUIC"
  # Table III.
  config.paper = (
    ("multitask", 10, 89.33, 91.00, 93.33),
    ("multitask", 20, 90.33, 91.33, 94.67),
    ("multitask", 50, 90.67, 91.33, 96.00),
    ("multitask", 100, 90.67, 92.00, 97.33),
    ("transfer", 10, None, None, 85.33),
    ("transfer", 20, None, None, 87.33),
    ("transfer", 50, None, None, 90.67),
    ("transfer", 100, None, None, 92.67),
    ("cnn_rnn", 10, 89.33, 92.00, 64.67),
    ("cnn_rnn", 20, 89.33, 92.00, 66.67),
    ("cnn_rnn", 50, 89.33, 92.00, 76.67),
    ("cnn_rnn", 100, 89.33, 92.00, 85.33),
    ("random_forest", 10, None, None, 48.67),
    ("random_forest", 20, None, None, 64.00),
    ("random_forest", 50, None, None, 78.00),
    ("random_forest", 100, None, None, 86.67),
    ("single_task", "all", None, None, 97.67),
  )
  # Table IV, whose "kbps" are kB/s. Its first dividers are those of its labelled flows;
  # here every run draws its own.
  bandwidth_10_to_1000 = (10e3, 50e3, 100e3, 1000e3)
  bandwidth_50_to_300 = (50e3, 100e3, 200e3, 300e3)
  config.divider_rows = (
    ((), ()),
    ((), (20.0, 40.0, 80.0, 100.0)),
    ((), (1.0, 50.0, 100.0, 150.0)),
    (bandwidth_10_to_1000, ()),
    (bandwidth_50_to_300, ()),
    (bandwidth_50_to_300, (1.0, 50.0, 100.0, 150.0)),
    # Fewer classes than the traffic has: short-lived and long-lived, say.
    ((100e3,), (30.0,)),
  )
  accuracies = (
    (90.67, 91.33, 94.67),
    (91.33, 92.00, 93.33),
    (91.33, 94.00, 92.66),
    (92.00, 90.66, 94.00),
    (84.66, 90.00, 93.00),
    (82.00, 93.00, 92.00),
  )
  config.paper_dividers = tuple(
    (*row, *values)
    for row, values in zip(config.divider_rows, accuracies, strict=False)
  )
  return config
