"""Tests of `mtl-traffic extract-flows` and `predict` on captures in several files."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from mtl_traffic.serving import checkpoints
from tests.data import capture_files as files
from tests.data.capture_files import ACK, PSH, SYN
from tests.serving.model_maker import make_model

K = 8


@pytest.fixture
def ring(tmp_path):
  """A connection of 12 packets, in x.pcap10, x.pcap2 and x.pcap3 in order of time."""
  client, server = ("10.0.0.9", 1000), ("10.0.0.2", 443)
  packets = [(0, files.ip_packet(*client, *server, SYN))]
  packets += [
    (i * files.SECOND, files.ip_packet(*server, *client, PSH | ACK, i))
    for i in range(1, 12)
  ]
  for name, part in (("10", packets[:5]), ("2", packets[5:7]), ("3", packets[7:])):
    (tmp_path / f"x.pcap{name}").write_bytes(files.pcap(part))
  return tmp_path


def run(*arguments):
  command = [sys.executable, "-m", "mtl_traffic", *arguments]
  done = subprocess.run(command, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  return done


def extract(folder, *options):
  out = folder / "flows.parquet"
  options = (f"--captures={folder}/x.pcap*", f"--out={out}", *options)
  run("extract-flows", "--processes=1", *options)
  return pq.read_table(out)


def test_flows_go_on_from_file_to_file(ring):
  table = extract(ring)
  assert table["flow_id"].to_pylist() == ["x.pcap10#1"]
  assert table["num_pkts"].to_pylist() == [12]
  assert table["start_seen"].to_pylist() == [True]
  assert table["pkts_dir"][0].as_py() == [1] + [0] * 11


def test_flows_end_with_their_file_if_asked_for(ring):
  table = extract(ring, "--each_capture_alone")
  rows = zip(
    *(table[name].to_pylist() for name in ("flow_id", "num_pkts", "start_seen")),
    strict=True,
  )
  assert sorted(rows) == [
    ("x.pcap10#1", 5, True),
    ("x.pcap2#1", 2, False),
    ("x.pcap3#1", 5, False),
  ]


def test_a_flow_over_several_files_is_answered_once(ring):
  model, out = ring / "model", ring / "answers.jsonl"
  checkpoints.save(model, *make_model(k=K))
  run("predict", f"--model={model}", f"--captures={ring}/x.pcap*", f"--out={out}")
  (answer,) = map(json.loads, out.read_text().splitlines())
  assert (answer["flow"], answer["packets"]) == ("x.pcap10#1", K)
  assert answer["client_address"] == "10.0.0.9"


def test_bad_files_are_left_out_if_asked_for(ring):
  (ring / "x.pcap9").write_bytes(b"no capture")
  (ring / "x.pcap1").write_bytes(files.pcap([]))
  assert extract(ring, "--skip_bad_files")["num_pkts"].to_pylist() == [12]
