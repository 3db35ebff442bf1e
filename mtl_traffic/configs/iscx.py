"""The ISCX VPN-nonVPN dataset of the paper, Table V.

    python -m experiments.label_budget --config=iscx \
        --manual_dir=CAPTURES --workdir=runs/iscx

With and without VPN together, as in the paper; `--config.train_partition=nonvpn` trains
without and tests on both.
"""

import ml_collections

from mtl_traffic.configs import common


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "iscx_vpn2016"
  config.train_partition = "all"
  config.min_packets = 10
  config.paper_dataset = "ISCX"
  # Table V.
  config.paper = (
    ("multitask", 10, 88.67, 90.00, 60.00),
    ("multitask", 20, 88.00, 89.33, 65.33),
    ("multitask", 50, 91.33, 90.00, 72.67),
    ("multitask", 100, 89.33, 91.33, 80.67),
    ("transfer", 10, None, None, 54.67),
    ("transfer", 20, None, None, 62.00),
    ("transfer", 50, None, None, 69.33),
    ("transfer", 100, None, None, 79.33),
    ("cnn_rnn", 10, 88.33, 90.00, 52.33),
    ("cnn_rnn", 20, 88.33, 90.00, 57.00),
    ("cnn_rnn", 50, 88.33, 90.00, 60.67),
    ("cnn_rnn", 100, 88.33, 90.00, 77.33),
  )
  return config
