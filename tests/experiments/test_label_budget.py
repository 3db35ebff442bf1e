"""Tests of `label_budget` in a separate process, as users run it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from mtl_traffic.data import parquet

ROOT = pathlib.Path(__file__).parents[2]
SMALL = (
  "--config.k=8",
  "--config.epochs=2",
  "--config.least_steps=0",
  "--config.test_per_class=5",
  "--config.validation_per_class=4",
  "--config.labels_per_class=(2,4)",
  "--config.num_seeds=2",
  "--config.runs_at_once=1",
  "--config.train_partition=training",
)


@pytest.fixture
def dataset(flows, tmp_path):
  path = tmp_path / "small.parquet"
  parquet.write(flows, path)
  return path


def _command(*arguments):
  return [sys.executable, "-m", "experiments.label_budget", *map(str, arguments)]


def _run(*arguments):
  return subprocess.run(
    _command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=300
  )


def _results(workdir):
  lines = (workdir / "results.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  return sorted(
    ({**row, "seconds": None} for row in rows), key=lambda row: json.dumps(row)
  )


def test_killed_and_called_again_it_ends_as_if_never_killed(dataset, tmp_path):
  options = (f"--dataset={dataset}", *SMALL)
  whole = _run(*options, f"--workdir={tmp_path / 'whole'}")
  assert whole.returncode == 0, whole.stderr
  assert "| multitask   | 2 " in whole.stdout
  files = {path.name for path in (tmp_path / "whole").iterdir()}
  assert files >= {"config.json", "results.jsonl", "table.md", "label_budget.png"}

  workdir = tmp_path / "killed"
  process = subprocess.Popen(
    _command(*options, f"--workdir={workdir}"),
    cwd=ROOT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  results = workdir / "results.jsonl"
  while process.poll() is None and not (results.exists() and results.stat().st_size):
    time.sleep(0.01)
  os.kill(process.pid, signal.SIGKILL)
  process.wait()
  assert not (workdir / "table.md").exists()
  finished = len(results.read_text().splitlines())
  assert 0 < finished < 8

  again = _run(*options, f"--workdir={workdir}")
  assert again.returncode == 0, again.stderr
  assert _results(workdir) == _results(tmp_path / "whole")


def test_bad_input_is_one_line_and_a_status(dataset, tmp_path):
  missing = _run(
    f"--dataset={tmp_path / 'none.parquet'}", f"--workdir={tmp_path / 'w'}"
  )
  assert missing.returncode == 1
  assert missing.stderr.splitlines()[-1].startswith("error: ")
  assert "none.parquet: no such file" in missing.stderr
  assert "Traceback" not in missing.stderr
  assert not (tmp_path / "w").exists()
