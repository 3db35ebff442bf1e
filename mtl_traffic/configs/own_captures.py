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
  # Every flow is to be answered.
  config.min_packets = 1
  config.min_flows_per_class = 1
  # Most flows train, as labels are few.
  config.test_per_class = 0.1
  config.validation_per_class = 0.1
  # What the lengths of the flows, their bandwidths and durations suggest.
  config.k = 0
  config.shortest_prefix = 0
  config.equal_classes = 4
  config.num_seeds = 5
  return config
