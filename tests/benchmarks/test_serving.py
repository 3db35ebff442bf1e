"""The benchmark of serving, end to end on few flows."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def _run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "benchmarks.serving", *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=600,
  )


def test_a_forest_answers_from_packets_to_probabilities(tmp_path):
  done = _run(
    f"--workdir={tmp_path}",
    "--method=random_forest_online",
    "--measure=flows",
    "--measure=delays",
    "--measure=workers",
    "--num_flows=60",
    "--training_flows=1200",
    "--predicted_flows=100",
    "--repeats=1",
    "--seconds=1",
    "--rate=4000",
  )
  assert done.returncode == 0, done.stderr
  measured = json.loads(done.stdout)
  assert measured["method"] == "random_forest_online"
  assert measured["flows_per_second"] > 0
  assert measured["delays"] > 0
  assert measured["workers_against_one"] > 0
  assert 0 < measured["delay_ms_p50"] <= measured["delay_ms_p100"]


@pytest.mark.parametrize(
  ("method", "message"),
  [
    ("random_forest", "random_forest reads whole flows"),
    ("magic", "method 'magic' is unknown"),
  ],
)
def test_a_method_that_cannot_be_served_is_named(tmp_path, method, message):
  done = _run(f"--workdir={tmp_path}", f"--method={method}")
  assert done.returncode == 1
  assert message in done.stderr.splitlines()[-1]
  assert "Traceback" not in done.stderr


def test_binaries_can_be_imported_together():
  program = "from benchmarks import captures, preparation, serving, training"
  subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
