"""That a disk is full shows before a model is trained, and harms no earlier one."""

import dataclasses
import shutil
import types

import numpy as np
import pytest

from mtl_traffic import methods
from mtl_traffic.errors import InputError
from mtl_traffic.serving import checkpoints
from mtl_traffic.serving.checkpoints import Description

METHOD = methods.make("nearest_neighbor", {})
DESCRIPTION = Description(
  method="nearest_neighbor",
  settings=dataclasses.asdict(METHOD),
  k=8,
  min_packets=1,
  rules={"payload_lengths": False},
  class_names=("a", "b"),
  dividers={},
  temperatures={"class": 1.0},
)
PARAMETERS = {
  "inputs": np.zeros((1, 2, 8), np.float32),
  "of_class": np.eye(2, dtype=bool)[None],
}


def test_a_full_disk_is_told_before_training_and_keeps_what_is_there(
  tmp_path, monkeypatch
):
  checkpoints.check_absent(tmp_path / "new" / "model")
  checkpoints.save(tmp_path / "model", DESCRIPTION, PARAMETERS)
  monkeypatch.setattr(
    shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000)
  )
  with pytest.raises(InputError, match="1000 bytes are left on the disk"):
    checkpoints.check_absent(tmp_path / "new" / "model")
  with pytest.raises(InputError, match="1000 bytes are left on the disk"):
    checkpoints.save(tmp_path / "model", DESCRIPTION, PARAMETERS)
  description, _ = checkpoints.load(tmp_path / "model")
  assert description.class_names == ("a", "b")


def test_what_a_killed_process_left_is_removed(tmp_path):
  left = tmp_path / "parameters.orbax-checkpoint-tmp" / "state"
  left.mkdir(parents=True)
  checkpoints.save(tmp_path, DESCRIPTION, PARAMETERS)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    "model.json",
    "parameters",
  ]
