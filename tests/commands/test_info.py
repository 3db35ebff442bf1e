"""Tests of `mtl-traffic info`."""

import json
import pathlib
import subprocess
import sys

from mtl_traffic.serving import checkpoints
from tests.serving.model_maker import make_model

ROOT = pathlib.Path(__file__).parents[2]


def info(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "mtl_traffic", "info", *map(str, arguments)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )


def test_a_model_is_described_and_a_damaged_one_refused(tmp_path):
  description, parameters = make_model(
    num_members=2, class_names=("a", "b\x1b[2J", "c"), data={"dataset": "mine"}
  )
  checkpoints.save(tmp_path, description, parameters)
  done = info(tmp_path)
  assert done.returncode == 0, done.stderr
  lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
  assert lines["class"] == r"3 classes: a, b\x1b[2J, c"
  assert lines["members"] == "2" and lines["method"] == "multitask"
  assert "dataset  " in done.stdout and done.stdout.rstrip().endswith(
    f"OK, {checkpoints.read_description(tmp_path)['digest']}"
  )
  path = tmp_path / "model.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"k": 9}))
  done = info(f"--model={tmp_path}")
  assert (done.returncode, done.stdout) == (1, "")
  (line,) = done.stderr.splitlines()
  assert "are not what training wrote" in line
