"""The embedded dataset: `python -m experiments.label_budget --workdir=DIR`.

Takes about two minutes on two cores. Its numbers show that the program works and say
nothing about real traffic.
"""

import ml_collections

from mtl_traffic.configs import common


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "simulated"
  config.train_partition = "simulated"
  config.num_seeds = 3
  return config
