"""The rules of CESNET's transfer study on the QUIC dataset: 80 % train, all labelled.

J. Luxemburk, K. Hynek and others, "Universal Embedding Function for Traffic
Classification via QUIC Domain Recognition Pretraining: A Transfer Learning Success"
(arXiv:2502.12930), with results in the repository CESNET/tc-transfer on GitHub.

    python -m experiments.protocol --config=cesnet_tc_transfer --workdir=runs/cesnet

*Script* and *human* test where the dataset has them. The other 20 % of *pretraining*
validate there. Ours need no validation, so that these flows test as well, for which
nothing was published. Ten runs, of five splits there and of a split each here.
"""

import ml_collections

from mtl_traffic.configs import common
from mtl_traffic.settings import ALL


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "ucdavis_icdm19"
  config.train_partition = "pretraining"
  config.test_per_class = 0.2
  config.validation_per_class = 0
  config.labels_per_class = (ALL,)
  config.num_seeds = 10
  config.methods = (
    "whole_flow_distillation",
    "random_forest_online",
    "nearest_neighbor",
    "nearest_neighbor_30_packets",
    "single_task",
    "multitask",
  )
  script, human = "retraining-script-triggered", "retraining-human-triggered"
  table_6, table_7 = (f"CESNET, arXiv:2502.12930, Table {number}" for number in (6, 7))
  tcbench = "tcbench, IMC 2023, Table 7"
  config.published = (
    (script, ALL, "network from scratch", 98.73, None, 98.74, 10, table_6),
    (script, ALL, "network, fine-tuned", 98.13, None, 98.14, 10, table_6),
    (script, ALL, "neighbours in its embedding", 100.0, None, 100.0, 10, table_6),
    (script, ALL, "neighbours on 10 packets", 97.87, None, 97.87, 10, table_7),
    (script, ALL, "CNN on flowpic", 98.37, 0.19, None, 20, tcbench),
    (human, ALL, "network from scratch", 78.07, None, 72.96, 10, table_6),
    (human, ALL, "network, fine-tuned", 89.64, None, 89.46, 10, table_6),
    (human, ALL, "neighbours in its embedding", 84.82, None, 84.33, 10, table_6),
    (human, ALL, "neighbours on 10 packets", 72.77, None, 69.03, 10, table_7),
    (human, ALL, "CNN on flowpic", 72.95, 0.96, None, 20, tcbench),
  )
  return config
