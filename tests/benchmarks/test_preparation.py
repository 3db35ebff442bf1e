"""Tests of the benchmark of preparation."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets", reason="needs TFDS")

from benchmarks import preparation


def test_repeats_flows_up_to_a_size(tmp_path):
  originals = list(preparation._invented(num_files=2, num_packets=50))
  size = sum(len(content) for _, content in originals)
  paths = preparation.repeat(originals, tmp_path, 2.4 * size)
  assert len(set(paths)) == 5
  assert sum(path.stat().st_size for path in paths) >= 2.4 * size
  assert np.loadtxt(paths[-1]).shape == (50, 4)


def test_the_binary_reports_both_times():
  command = [sys.executable, "-m", "benchmarks.preparation"]
  flags = ["--megabytes=1", "--workers=1", "--repeats=1"]
  done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  best = json.loads(done.stdout.splitlines()[-1])
  assert best["ratio"] == pytest.approx(best["preparation_s"] / best["loadtxt_s"])
  assert best["peak_resident_mb"] > 50
