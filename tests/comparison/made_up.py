"""Writes work directories with made-up results, for reports to read."""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.settings import Settings

SETTINGS = Settings(
  methods=("multitask", "whole_flow_distillation", "single_task"),
  labels_per_class=(10, 100),
  num_seeds=2,
)
_MEANING = {
  "train_partition": "training",
  "num_flows": 900,
  "test_per_class": 10,
  "validation_per_class": 5,
  "epochs": 20,
  "batch_size": 64,
}
_RIGHT = {"whole_flow_distillation": 9, "multitask": 8}  # Of ten.


def write_results(
  folder: pathlib.Path,
  dataset: str,
  classes: Sequence[str],
  experiments: Mapping[str, Settings],
  calls: Sequence[dict] = (),
) -> None:
  """Writes a work directory for each experiment, with the runs of its settings.

  Of each class, 10 flows are tested. `_RIGHT` gives how many are right, 6 for methods
  that it does not name, and one more with 100 labels. The others are predicted as the
  next class.
  """
  for name, settings in experiments.items():
    path = folder / name
    path.mkdir(parents=True)
    meaning = {**_MEANING, "experiment": name, "dataset": dataset, "classes": classes}
    config = {
      "meaning": meaning,
      "extent": {},
      "paper": {"paper": [], "paper_dataset": "QUIC", "paper_dividers": []},
      "versions": {"jax": "0.10.2"},
      "calls": list(calls),
    }
    (path / "config.json").write_text(json.dumps(config))
    rows = []
    for run in EXPERIMENTS[name].runs(settings):
      right = _RIGHT.get(run.method, 6) + (run.labels_per_class == 100)
      counts = right * np.eye(len(classes), dtype=int)
      counts += (10 - right) * np.roll(np.eye(len(classes), dtype=int), 1, axis=1)
      row = {"dataset": dataset, "partition": "training", **run.identity()}
      for task in ("class", "bandwidth", "duration"):
        row |= {f"{task}_accuracy": right / 10, f"{task}_confusion": counts.tolist()}
      rows.append(json.dumps(row | {"seconds": 60.0}) + "\n")
    (path / "results.jsonl").write_text("".join(rows))
