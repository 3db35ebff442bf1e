"""Tests of `mtl-traffic export-model`."""

import subprocess
import sys
import zipfile

import pytest

from mtl_traffic.serving import checkpoints
from tests.serving.model_maker import make_model


def export(model, output):
  command = (sys.executable, "-m", "mtl_traffic", "export-model")
  return subprocess.run(
    [*command, f"--model={model}", f"--out={output}"], capture_output=True, text=True
  )


def test_a_file_is_written_once(tmp_path):
  pytest.importorskip("flatbuffers", reason="serialisation needs mtl_traffic[export]")
  model, output = tmp_path / "model", tmp_path / "new" / "model.zip"
  checkpoints.save(model, *make_model(method="single_task"))
  done = export(model, output)
  assert done.returncode == 0, done.stderr
  with zipfile.ZipFile(output) as file:
    assert set(file.namelist()) == {"model.json", "predict.jax"}
  before = output.read_bytes()
  done = export(model, output)
  assert done.returncode == 1
  assert done.stderr == (
    f"error: --out: {output}: is there already; remove it, or give another file\n"
  )
  assert output.read_bytes() == before
