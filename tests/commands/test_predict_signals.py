"""Answers of a live run stay readable, whichever signal ends it."""

import pathlib
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from mtl_traffic.serving import checkpoints
from tests.data.capture_files import SECOND, ip_packet, pcap
from tests.serving.test_room import DESCRIPTION, PARAMETERS

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_parquet_answers_can_be_read(tmp_path, number):
  checkpoints.save(tmp_path / "model", DESCRIPTION, PARAMETERS)
  out, lines = tmp_path / "answers.parquet", tmp_path / "answers.jsonl"
  command = [
    *(sys.executable, "-m", "mtl_traffic", "predict", "--captures=-"),
    *(f"--model={tmp_path / 'model'}", f"--out={out}", f"--out={lines}"),
  ]
  process = subprocess.Popen(
    command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=False
  )
  # The flow is answered at its eighth packet; packets of other flows advance the clock.
  packets = [(n * SECOND // 10, ip_packet(payload=50)) for n in range(8)]
  packets += [(n * SECOND, ip_packet(source_port=7, flags=0)) for n in range(1, 8)]
  process.stdin.write(pcap(sorted(packets), nano=True))
  process.stdin.flush()
  deadline = time.monotonic() + 120
  while not (lines.exists() and lines.stat().st_size):
    assert time.monotonic() < deadline and process.poll() is None
    time.sleep(0.05)
  process.send_signal(number)
  _, errors = process.communicate(timeout=120)
  assert process.returncode == 130, errors
  assert errors.endswith(b"error: interrupted; the answers so far are written\n")
  assert pq.read_table(out)["packets"].to_pylist() == [8]
  assert not (tmp_path / ".answers.parquet.journal").exists()
