"""The settings of every experiment; a dataset's file changes what it needs.

Section V of the paper and its authors' code: k = 60 packets, λ = 1, 20 epochs of Adam
at 1e-3 in batches of 64, gradients clipped to norm 1, 30 test and 30 validation flows
a class.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(
    {
      "dataset": "simulated",
      # The partition that is split into train, validation and test flows; every other
      # one is a test set. "all" splits all flows together.
      "train_partition": "all",
      # How many packets of each flow are read, or k if that is more. The methods that
      # look at the whole stored series see these.
      "max_packets": 256,
      # Whether the dataset's lengths and bytes are those of TCP and UDP payload rather
      # than of IP packets; `train` hands it on to `predict`, which must count alike.
      "payload_lengths": False,
      # Flows of fewer packets are left out.
      "min_packets": 1,
      "methods": ("multitask", "single_task"),
      # Numbers, or "all".
      "labels_per_class": (10, 20, 50, 100),
      "num_seeds": 20,
      "first_seed": 0,
      "test_per_class": 30,
      "validation_per_class": 30,
      "k": 60,
      # What inter-arrival times of 0 and 1 s become; the authors' code has (-1, 1).
      "iat_range": (0.0, 1.0),
      # False: lengths without direction, as in the authors' code.
      "signed_lengths": True,
      # bytes/s and s; none = midpoints between the labelled flows' class averages.
      "bandwidth_dividers": (),
      "duration_dividers": (),
      "lambda_": 1.0,
      # What multitask learns beside the class; names in mtl_traffic/tasks.py.
      "tasks": ("bandwidth", "duration"),
      # "features": the authors' mask, on what enters the class head.
      "mask": "loss",
      "epochs": 20,
      "batch_size": 64,
      "learning_rate": 1e-3,
      "clip_norm": 1.0,
      "dtype": "float32",
      # The model of any_k answers from this packet on.
      "shortest_prefix": 5,
      # What packet_budget, lambda_sweep and auxiliary_tasks go through.
      "packet_budgets": (10, 20, 30, 45, 60, 90, 120),
      "lambdas": (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
      "task_sets": (
        (),
        ("bandwidth", "duration"),
        ("mean_length",),
        ("mean_inter_arrival_time",),
        ("inter_arrival_time_deviation",),
        ("bursts",),
        (
          "bandwidth",
          "duration",
          "mean_length",
          "mean_inter_arrival_time",
          "inter_arrival_time_deviation",
          "bursts",
        ),
      ),
      # And divider_sweep: pairs of bandwidth (bytes/s) and duration (s) dividers.
      "divider_rows": (((), ()),),
      # Runs in one program, whose rows are saved together. 0 = what suits the device.
      "runs_at_once": 0,
      # Rows of (method, labels_per_class, bandwidth, duration, class accuracy) that the
      # paper reports, in %, to be shown beside ours.
      "paper": (),
      # Which of the paper's datasets this is, if it is one: "QUIC" or "ISCX".
      "paper_dataset": "",
      # As config.paper, rows of (bandwidth dividers, duration dividers, accuracies).
      "paper_dividers": (),
    }
  )
