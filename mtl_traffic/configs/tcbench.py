"""The rules of tcbench on the QUIC dataset: at most 100 training flows of each class.

A. Finamore, C. Wang, J. Krolikowski, J. M. Navarro, F. Chen and D. Rossi, "Replication:
Contrastive Learning and Data Augmentation in Traffic Classification Using a Flowpic
Input Representation", IMC 2023 (arXiv:2309.09733).

    python -m experiments.protocol --config=tcbench --workdir=runs/tcbench

100 flows of each class of *pretraining* train, and 10 or all of them are labelled. All
other flows of *pretraining* test (their *leftover*), and so do *script* and *human*
where the dataset has them. Methods that learn from unlabelled flows have the other 90;
`--config.test_per_class=30` gives them the rest of *pretraining*, instead of testing on
it. tcbench repeats each of five splits with several seeds. Here each run has a split of
its own, so that runs are independent and the interval is not too narrow. Its methods
hold back 20 of the 100 flows to stop early, ours need none.
"""

import ml_collections

from mtl_traffic.configs import common


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "ucdavis_icdm19"
  config.train_partition = "pretraining"
  config.test_per_class = -100
  config.validation_per_class = 0
  config.labels_per_class = (10, 100)
  config.num_seeds = 15
  # Of 500 flows, which makes 1,600 steps: about as many as 20 epochs of all flows.
  config.epochs = 200
  config.methods = (
    "whole_flow_distillation",
    "whole_flow_distillation_without_unlabelled_flows",
    "random_forest_online",
    "nearest_neighbor",
    "nearest_neighbor_30_packets",
    "single_task",
    "multitask",
  )
  leftover = "pretraining"
  script, human = "retraining-script-triggered", "retraining-human-triggered"
  # Flowpics are 32 × 32 unless said otherwise. RTT and the like are augmentations.
  table_3, table_4, table_5, table_6, table_7 = (
    f"tcbench, IMC 2023, Table {number}" for number in range(3, 8)
  )
  config.published = (
    (leftover, 100, "CNN on flowpic", 95.78, 0.29, None, 15, table_4),
    (leftover, 100, "CNN on flowpic, RTT", 98.38, 0.18, None, 15, table_4),
    (leftover, 100, "CNN on flowpic, color jitter", 96.93, 0.56, None, 15, table_4),
    (leftover, 100, "CNN on 1500² flowpic, flip", 95.97, 0.80, None, 15, table_4),
    (script, 10, "SimCLR on flowpic, RTT + shift", 92.54, 0.33, None, 125, table_5),
    (script, 10, "SimCLR on flowpic, RTT + jitter", 91.72, 0.36, None, 125, table_6),
    (script, 10, "SimCLR on 80 % of pretraining", 93.90, 0.74, None, 20, table_7),
    (script, 100, "XGBoost on flowpic", 96.80, 0.37, None, 15, table_3),
    (script, 100, "XGBoost on 10 packets", 94.53, 0.56, None, 15, table_3),
    (script, 100, "CNN on flowpic", 95.64, 0.37, None, 15, table_4),
    (script, 100, "CNN on flowpic, RTT", 97.29, 0.35, None, 15, table_4),
    (script, 100, "CNN on flowpic, color jitter", 97.56, 0.55, None, 15, table_4),
    (script, 100, "CNN on 1500² flowpic, flip", 94.89, 0.79, None, 15, table_4),
    (human, 10, "SimCLR on flowpic, RTT + shift", 74.35, 1.38, None, 125, table_5),
    (human, 10, "SimCLR on flowpic, RTT + jitter", 75.56, 1.23, None, 125, table_6),
    (human, 10, "SimCLR on 80 % of pretraining", 80.45, 2.37, None, 20, table_7),
    (human, 100, "XGBoost on flowpic", 73.65, 2.14, None, 15, table_3),
    (human, 100, "XGBoost on 10 packets", 66.91, 1.40, None, 15, table_3),
    (human, 100, "CNN on flowpic", 68.84, 1.45, None, 15, table_4),
    (human, 100, "CNN on flowpic, RTT", 70.76, 1.99, None, 15, table_4),
    (human, 100, "CNN on flowpic, color jitter", 68.43, 2.82, None, 15, table_4),
    (human, 100, "CNN on 1500² flowpic, flip", 73.90, 1.06, None, 15, table_4),
  )
  return config
