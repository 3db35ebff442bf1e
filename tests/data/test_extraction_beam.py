"""Flows of captures that the workers of a Beam runner read."""

import os
import pathlib

import pyarrow.parquet as pq
import pytest

from mtl_traffic.data import captures
from mtl_traffic.data.beam_workers import BeamWorkers
from mtl_traffic.data.captures import Rules
from mtl_traffic.data.captures.extraction import extract
from mtl_traffic.data.captures.labels import read_labels
from mtl_traffic.errors import InputError
from tests.data import capture_files as files
from tests.data.capture_files import ACK, PSH, SYN

pytest.importorskip("apache_beam", reason="the extra beam brings it")
TWO_WORKERS = ("direct_num_workers=2", "direct_running_mode=multi_processing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A capture in three files, one of UDP flows, a damaged one, and labels."""
  folder = tmp_path_factory.mktemp("captures")
  client, server = ("10.0.0.9", 1000), ("10.0.0.2", 443)
  ring = [(0, files.ip_packet(*client, *server, SYN))]
  ring += [
    (i * files.SECOND, files.ip_packet(*server, *client, PSH | ACK, i))
    for i in range(1, 12)
  ]
  udp = [
    (i * files.SECOND, files.ip_packet(source_port=1 + i % 3, payload=i))
    for i in range(12)
  ]
  for name, content in (
    ("ring1.pcap", files.pcap(ring[:5])),
    ("udp.pcap", files.pcap([*udp, (13 * files.SECOND, b"\0not IP")])),
    ("ring2.pcap", files.pcap(ring[5:7])),
    ("damaged.pcap", files.pcap(udp)[:-7]),
    ("ring3.pcap", files.pcap(ring[7:])),
  ):
    (folder / name).write_bytes(content)
  (folder / "labels.csv").write_text(
    "capture,address,source_port,label\n"
    "udp.pcap,,2,call\n,10.0.0.1,,mail\n,10.0.0.2,,web\n"
  )
  return folder


def extracted(folder, out, beam=None, **options):
  """The table of flows, and the accounts."""
  labels = read_labels(folder / "labels.csv")
  paths = captures.find([str(folder)])
  accounts = extract(paths, out, labels, beam=beam, **options)
  return pq.read_table(out), accounts


def test_two_workers_give_the_flows_of_one_process(folder, tmp_path):
  plain, accounts = extracted(folder, tmp_path / "plain.parquet")
  # Of one connection over three files, three flows of UDP, twice.
  assert accounts.num_flows == 7 and len(accounts.warnings) == 1
  assert accounts.labelled == {"call": 1, "web": 1}
  assert accounts.contradictions == {(3, 4): 5}
  beam = BeamWorkers("FnApiRunner", TWO_WORKERS)
  table, others = extracted(folder, tmp_path / "beam" / "flows.parquet", beam)
  assert table.equals(plain) and table.schema.equals(plain.schema, True)
  assert others == accounts
  assert os.listdir(tmp_path / "beam") == ["flows.parquet"]


def test_flows_that_do_not_arrive_are_missed(folder, tmp_path):
  class ElsewhereAlone:
    def map(self, scratch, work, tasks, done=None):
      yield from map(work, tasks)
      for part in scratch.glob("*.parquet"):
        if pq.read_metadata(part).num_rows == 1:
          part.unlink()

  with pytest.raises(InputError, match=r"flows\.parquet: 6 of 7 flows arrived beside"):
    extracted(folder, tmp_path / "flows.parquet", ElsewhereAlone())
  assert not os.listdir(tmp_path)


def test_workers_are_given_paths_that_hold_anywhere(folder, tmp_path, monkeypatch):
  given = []

  class Recorder:
    def map(self, scratch, work, tasks, done=None):
      given.extend([scratch, *tasks[0][0], tasks[0][1]])
      return map(work, tasks)

  monkeypatch.chdir(folder)
  (path,) = captures.find(["udp.pcap"])
  out = pathlib.Path(os.path.relpath(tmp_path / "flows.parquet"))
  extract([path], out, read_labels("labels.csv"), beam=Recorder())
  assert pq.read_table(out)["partition"].to_pylist() == ["udp.pcap"] * 3
  assert len(given) == 3 and all(path.is_absolute() for path in given)


def test_rules_and_files_of_their_own_are_heeded(folder, tmp_path):
  options = {
    "rules": Rules(inner=True, payload_lengths=True, max_packets=3),
    "each_alone": True,
  }
  plain, accounts = extracted(folder, tmp_path / "plain.parquet", **options)
  assert "outer_client_address" in plain.column_names and accounts.num_flows == 9
  beam = BeamWorkers("FnApiRunner")
  table, others = extracted(folder, tmp_path / "beam.parquet", beam, **options)
  assert table.equals(plain) and table.schema.equals(plain.schema, True)
  assert others == accounts
