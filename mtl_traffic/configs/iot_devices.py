"""IoT devices while they are set up, by kind (IoT Sentinel, 27 classes).

    python -m experiments.label_budget --config=iot_devices \
        --manual_dir=CAPTURES --workdir=runs/iot

The smallest class has some ten flows, which sets how many test. Flows are short, so
few packets are read.
"""

import ml_collections

from mtl_traffic.configs import common


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "iot_devices"
  config.train_partition = "all"
  config.k = 20
  config.test_per_class = 3
  config.validation_per_class = 2
  config.labels_per_class = (1, 5)
  config.num_seeds = 10
  return config
