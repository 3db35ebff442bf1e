"""Tests of `mtl-traffic export-flows`."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from mtl_traffic import pytrees  # noqa: F401 - flows are compared as trees
from mtl_traffic.data import parquet

RULES = {"payload_lengths": True, "udp_silence_s": 3.0}


def export(*arguments) -> subprocess.CompletedProcess:
  command = [sys.executable, "-m", "mtl_traffic", "export-flows", *map(str, arguments)]
  return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def source(flows, tmp_path):
  path = tmp_path / "flows.parquet"
  parquet.write(flows, path, RULES)
  return path


def test_what_is_written_is_read_back(flows, source, tmp_path):
  output = tmp_path / "new" / "out.parquet"
  done = export(f"--dataset={source}", f"--out={output}")
  assert done.returncode == 0, done.stderr
  again = parquet.read(output)
  assert jax.tree.structure(again) == jax.tree.structure(flows)
  jax.tree.map(np.testing.assert_array_equal, again, flows)

  assert parquet.read_rules(output) == RULES

  # An existing file is not changed.
  before = output.read_bytes()
  done = export("--dataset=simulated", f"--out={output}")
  assert done.returncode == 1
  assert done.stderr.strip().endswith(
    "is there already; remove it, or give another file"
  )
  assert output.read_bytes() == before


def test_writes_the_first_packets(flows, source, tmp_path):
  output = tmp_path / "out.parquet"
  export(f"--dataset={source}", f"--out={output}", "--max_packets=3")
  again = parquet.read(output)
  np.testing.assert_array_equal(again.packets.times, flows.packets.times[:, :3])
  np.testing.assert_array_equal(again.num_packets, flows.num_packets)


@pytest.mark.parametrize(
  ("output", "message"),
  [
    ("flows.csv", "flows.csv must end in .parquet"),
    ("/dev/null/f.parquet", "f.parquet: "),
  ],
)
def test_files_that_cannot_be_get_one_line(source, output, message):
  done = export(f"--dataset={source}", f"--out={output}")
  assert done.returncode == 1
  assert done.stderr.startswith("error: --out: ") and message in done.stderr
  assert len(done.stderr.splitlines()) == 1
