"""Tests of `mtl-traffic train`, end to end."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mtl_traffic import load_model
from mtl_traffic.data import parquet

ROOT = pathlib.Path(__file__).parents[2]
RULES = {"payload_lengths": True, "udp_silence_s": 3.0, "tcp_idle_s": 60.0}
SMOKE = (
  "--method=multitask",
  "--config.train_partition=all",
  "--config.labels_per_class=5",
  "--config.epochs=1",
  "--config.k=8",
  "--config.test_per_class=6",
)


@pytest.fixture
def dataset(flows, tmp_path):
  parquet.write(flows, tmp_path / "flows.parquet", RULES)
  return tmp_path / "flows.parquet"


def run(workdir, *options):
  return subprocess.run(
    [sys.executable, "-m", "mtl_traffic", "train", f"--workdir={workdir}", *options],
    cwd=ROOT,
    # Compile quickly: each program runs only once.
    env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    capture_output=True,
    text=True,
    timeout=300,
  )


def test_an_ensemble_of_prefixes_with_dividers_of_ones_own(flows, dataset, tmp_path):
  done = run(
    tmp_path / "model",
    *SMOKE,
    f"--dataset={dataset}",
    "--config.validation_per_class=5",
    "--ensemble=2",
    "--draws=2",
    "--shortest_prefix=5",
    "--config.bandwidth_dividers=(1e5,)",
    "--config.duration_dividers=(10.0,60.0)",
  )
  assert done.returncode == 0, done.stderr
  report = (tmp_path / "model/report.md").read_text()
  assert report in done.stdout and "ECE, T = 1" in report
  assert "over 2 draws" in report and "| test      | mean      | " in report
  assert (tmp_path / "model/calibration.png").exists()
  card = (tmp_path / "model/README.md").read_text()
  assert report.strip() in card and "| data, flows with a class  " in card
  predictor = load_model(tmp_path / "model")
  assert predictor.names["bandwidth"] == ("under 100 kB/s", "from 100 kB/s")
  assert predictor.names["duration"] == ("under 10 s", "10 to 60 s", "from 60 s")
  # The model stores the rules that made its training flows.
  assert predictor.description.rules == RULES
  answers = predictor(flows, 5)
  assert answers.probabilities["class"].shape == (90, 3)
  np.testing.assert_allclose(answers.probabilities["class"].sum(-1), 1, atol=1e-5)
  again = run(tmp_path / "model", *SMOKE)
  assert again.returncode == 1
  assert "holds a trained model already" in again.stderr


def test_a_model_without_validation_flows(dataset, tmp_path):
  done = run(
    tmp_path / "model",
    *SMOKE,
    f"--dataset={dataset}",
    "--method=single_task",
    "--config.validation_per_class=0",
  )
  assert done.returncode == 0, done.stderr
  assert load_model(tmp_path / "model").description.temperatures == {"class": 1.0}


def test_what_is_kept_has_learnt_from_all_flows(flows, dataset, tmp_path):
  reports, right = {}, {}
  for flag in ("--refit", "--norefit"):
    workdir = tmp_path / flag
    done = run(
      workdir,
      f"--dataset={dataset}",
      "--method=nearest_neighbor",
      "--config.train_partition=all",
      "--config.k=8",
      "--config.test_per_class=6",
      "--config.validation_per_class=5",
      flag,
    )
    assert done.returncode == 0, done.stderr
    reports[flag] = (workdir / "report.md").read_text()
    labels = load_model(workdir)(flows).labels("class")
    right[flag] = (labels == flows.classes).mean()
  assert right["--norefit"] < right["--refit"] == 1
  # The report is about the tested model.
  said, tested = (report.split("\n\n") for report in reports.values())
  (sentence,) = [part for part in said if part not in tested]
  assert "was then trained on the validation and test flows as well" in sentence
  assert [part for part in said if part != sentence] == tested


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--config.labels_per_class=(5,10)"], "(5, 10) has 2 values; give one"),
    ([*SMOKE, "--shortest_prefix=9"], "shortest_prefix: 9 must be 1 to 8"),
    ([*SMOKE, "--config.k=3"], "k = 3 packets are too few"),
    ([*SMOKE, "--method=magic"], "method 'magic' is unknown; there are multitask"),
    # The error comes before the flows are read, which do not exist here.
    (["--method=random_forest", "--dataset=/no.parquet"], "reads whole flows"),
    (["--method=nearest_neighbor", "--ensemble=2"], "2 members would be equal"),
  ],
)
def test_settings_that_cannot_be_are_named(tmp_path, options, message):
  done = run(tmp_path / "model", *options)
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith("error: ") and message in line
  assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("of_payload", [False, True])
def test_lengths_that_the_file_contradicts_are_refused(flows, tmp_path, of_payload):
  dataset = tmp_path / "flows.parquet"
  parquet.write(flows, dataset, {"payload_lengths": of_payload})
  done = run(
    tmp_path / "model",
    *SMOKE,
    f"--dataset={dataset}",
    f"--config.payload_lengths={not of_payload}",
  )
  assert done.returncode == 1
  line = done.stderr.splitlines()[-1]
  assert line.startswith(f"error: --config.payload_lengths={not of_payload}: flows ")
  assert not (tmp_path / "model/model.json").exists()
