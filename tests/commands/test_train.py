"""Tests of `experiments.train`, end to end on simulated flows."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mtl_traffic import data, inference

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = (
  "--config.labels_per_class=5",
  "--config.epochs=2",
  "--config.k=8",
  "--config.test_per_class=10",
  "--config.validation_per_class=5",
)


def run(workdir, *options):
  return subprocess.run(
    [sys.executable, "-m", "experiments.train", f"--workdir={workdir}", *options],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )


def test_an_ensemble_of_prefixes_with_dividers_of_ones_own(tmp_path):
  done = run(
    tmp_path,
    *SMOKE,
    "--ensemble=2",
    "--draws=2",
    "--shortest_prefix=5",
    "--config.bandwidth_dividers=(1e5,)",
    "--config.duration_dividers=(10.0,60.0)",
    "--config.payload_lengths",
  )
  assert done.returncode == 0, done.stderr
  report = (tmp_path / "report.md").read_text()
  assert report in done.stdout and "ECE, T = 1" in report
  assert "over 2 draws" in report and "| test      | mean      | " in report
  assert (tmp_path / "calibration.png").exists()
  predictor = inference.load(tmp_path)
  assert predictor.names["bandwidth"] == ("under 100 kB/s", "from 100 kB/s")
  assert predictor.names["duration"] == ("under 10 s", "10 to 60 s", "from 60 s")
  assert predictor.description.payload_lengths
  answers = predictor(data.load("simulated", 8)[:50], 5)
  assert answers.probabilities["class"].shape == (50, 5)
  np.testing.assert_allclose(answers.probabilities["class"].sum(-1), 1, atol=1e-5)
  again = run(tmp_path, *SMOKE)
  assert again.returncode == 1
  assert "holds a trained model already" in again.stderr


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--config.labels_per_class=(5,10)"], "(5, 10) are several; give one"),
    ([*SMOKE, "--shortest_prefix=9"], "--shortest_prefix: 9 is more than k = 8"),
    ([*SMOKE, "--config.k=3"], "k = 3 packets are too few"),
    ([*SMOKE, "--config.validation_per_class=0"], "must be at least 1 to train"),
  ],
)
def test_settings_that_cannot_be_are_named(tmp_path, options, message):
  done = run(tmp_path / "model", *options)
  assert done.returncode == 1
  assert message in done.stderr.splitlines()[-1]
  assert not (tmp_path / "model").exists()
