"""Video sessions in the first half minute of playing, by platform and resolution.

    python -m experiments.label_budget --config=video_sessions \
        --manual_dir=DATASET --workdir=runs/video

`--dataset=video-sessions.parquet` takes them from a file of flows instead. All sessions
are about as long, as they were cut off: duration says nothing, so bandwidth alone is
learnt beside the class.
"""

import ml_collections

from mtl_traffic.configs import common


def get_config() -> ml_collections.ConfigDict:
  config = common.get_config()
  config.dataset = "video_sessions"
  config.train_partition = "all"
  config.tasks = ("bandwidth",)
  # The smallest class has 163 sessions, and 60 of them test and validate.
  config.labels_per_class = (10, 20, 50, 100)
  config.num_seeds = 10
  return config
