"""Flows of one's own, as `extract_flows` writes them: all captures together.

    python -m experiments.label_budget --config=own_captures \
        --dataset=flows.parquet --workdir=runs/own
"""

import ml_collections

from mtl_traffic.configs import common


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "flows.parquet"
  config.train_partition = "all"
  # Of shorter flows there is little to see.
  config.min_packets = 10
  config.num_seeds = 5
  return config
