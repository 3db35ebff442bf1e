"""What extraction leaves when it is killed, or finds nothing."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from mtl_traffic.data.captures import extraction
from mtl_traffic.data.captures.labels import Labels
from mtl_traffic.errors import InputError
from tests.data.capture_files import ip_packet, pcap


def test_the_next_run_removes_what_a_killed_one_left(tmp_path):
  capture, out = tmp_path / "a.pcap", tmp_path / "out" / "flows.parquet"
  capture.write_bytes(pcap([(n, ip_packet()) for n in range(9)]))
  program = f"""
    import os, pathlib, signal
    from mtl_traffic.data.captures import extraction
    from mtl_traffic.data.captures.labels import Labels
    extraction._join = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
    path = pathlib.Path({str(capture)!r})
    extraction.extract([path], pathlib.Path({str(out)!r}), Labels())
  """
  killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)])
  assert killed.returncode == -signal.SIGKILL
  assert os.listdir(out.parent)
  extraction.extract([capture], out, Labels())
  assert os.listdir(out.parent) == ["flows.parquet"]


def test_a_damaged_first_record_is_named(tmp_path):
  capture = tmp_path / "a.pcap"
  content = bytearray(pcap([(0, ip_packet())]))
  content[32:36] = b"\xff\xff\xff\x7f"  # Bytes that were captured.
  capture.write_bytes(content)
  with pytest.raises(InputError, match=r"no flows .*a\.pcap: damaged at byte 24"):
    extraction.extract([capture], tmp_path / "flows.parquet", Labels())
  assert os.listdir(tmp_path) == ["a.pcap"]
