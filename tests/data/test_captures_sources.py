"""Tests of `mtl_traffic.data.captures.sources`, and of flows over several files."""

import bz2
import gzip
import lzma
import os

import pyarrow as pa
import pytest

from mtl_traffic.data import captures
from mtl_traffic.data.captures import sources
from mtl_traffic.data.captures.labels import read_labels
from mtl_traffic.errors import InputError
from tests.data import capture_files as files
from tests.data.capture_files import ACK, FIN, PSH, SYN

CLIENT, SERVER = ("10.0.0.9", 1000), ("10.0.0.2", 443)


def there(flags, **numbers):
  return files.ip_packet(*CLIENT, *SERVER, flags, **numbers)


def back(flags, **numbers):
  return files.ip_packet(*SERVER, *CLIENT, flags, **numbers)


def write(path, *timed):
  path.write_bytes(files.pcap([(round(t * files.SECOND), p) for t, p in timed]))
  return path


@pytest.fixture
def ring(tmp_path):
  """One connection over x.pcap10, x.pcap2 and x.pcap3, in this order of time."""
  answers = [(t, back(PSH | ACK)) for t in range(1, 30)]
  return [
    write(tmp_path / "x.pcap10", (0, there(SYN)), (0.1, back(SYN | ACK)), *answers[:9]),
    write(tmp_path / "x.pcap2", *answers[9:19]),
    write(tmp_path / "x.pcap3", *answers[19:], (30, there(FIN | ACK))),
  ]


def chains(paths):
  return [
    [path.name for path in chain]
    for chain in sources.chains(paths, lambda paths: map(sources.span, paths))
  ]


def read(paths):
  accounts = captures.Accounts()
  flows = [
    (flow, batch)
    for batch in captures.read_flows(paths, accounts)
    for flow in zip(
      batch.flows.ids.tolist(),
      batch.flows.num_packets.tolist(),
      batch.starts_seen.tolist(),
      strict=True,
    )
  ]
  return flows, accounts


def test_rotated_files_are_one_capture_in_order_of_time(ring):
  found = sources.find([str(ring[0].parent / "x.pcap*")])
  assert [path.name for path in found] == ["x.pcap10", "x.pcap2", "x.pcap3"]
  assert chains(found[::-1]) == [["x.pcap10", "x.pcap2", "x.pcap3"]]
  ((flow, batch),), accounts = read(ring)
  assert flow == ("x.pcap10#1", 32, 1)
  assert batch.flows.packets.directions[0, :32].tolist() == [1, *[-1] * 30, 1]
  assert batch.flows.partition_names == ("x.pcap10", "x.pcap2", "x.pcap3")
  assert batch.flows.partitions.tolist() == [0]
  assert accounts.num_packets == 32


def test_a_flow_is_of_the_file_in_which_it_begins(ring, tmp_path):
  other = files.ip_packet("10.0.0.7", 5)
  write(ring[1], (9.5, other), (10.5, other))
  write(ring[2], (11, other), (30, back(PSH)))
  flows, _ = read(ring)
  assert sorted(flow for flow, _ in flows) == [
    ("x.pcap10#1", 12, 1),
    ("x.pcap2#1", 3, -1),
  ]
  (tmp_path / "labels.csv").write_text("capture,label\nx.pcap2,b\nx.pcap3,c\n")
  labels = read_labels(tmp_path / "labels.csv")
  labelled = [labels.apply(batch) for _, batch in flows]
  assert {
    batch.ids[i]: batch.classes[i] for batch in labelled for i in range(len(batch))
  } == {"x.pcap10#1": -1, "x.pcap2#1": 0}


def test_a_flow_whose_start_was_not_seen_is_marked(ring):
  flows, _ = read(ring[1])
  assert [flow for flow, _ in flows] == [("x.pcap2#1", 10, 0)]


def test_udp_flows_start_after_a_silence(tmp_path):
  packets = [(t, files.ip_packet()) for t in (0, 1, 17, 18)]
  flows, _ = read(write(tmp_path / "a.pcap", *packets))
  assert [flow[2] for flow, _ in flows] == [-1, 1]


def test_files_that_overlap_stay_apart(tmp_path):
  paths = [
    write(tmp_path / name, (begin, there(ACK)), (end, there(ACK)))
    for name, begin, end in (
      *(("a1", 0, 10), ("a2", 11, 20), ("a3", 15, 30)),
      *(("b1", 1, 12), ("b2", 12, 22)),
      *(("one", 40, 50), ("two", 51, 60), ("later", 9000, 9001)),
    )
  ]
  (tmp_path / "empty").write_bytes(files.pcap([]))
  assert chains([*paths, tmp_path / "empty"]) == [
    ["a1", "a2"],
    ["a3"],
    ["b1", "b2"],
    ["one", "two"],
    ["later"],
    ["empty"],
  ]


def test_odd_names_are_taken_as_they_are(tmp_path):
  for name in ("cap[1].pcap", "a,b.pcap", "star*.pcap"):
    write(tmp_path / name, (0, there(ACK)))
    assert [path.name for path in sources.find([str(tmp_path / name)])] == [name]


def test_a_name_that_is_not_utf8_is_escaped(tmp_path):
  path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.pcap")
  try:
    with open(path, "wb") as file:
      file.write(files.pcap([(0, there(ACK))]))
  except OSError:
    pytest.skip("this file system wants UTF-8")
  (found,) = sources.find([str(tmp_path / "caf*")])
  ((flow, _),), _ = read(found)
  assert flow[0] == r"caf\xe9.pcap#1"


def test_of_a_folder_the_captures_are_meant(tmp_path):
  (tmp_path / "deep").mkdir()
  write(tmp_path / "b.pcap", (0, there(ACK)))
  write(tmp_path / "deep" / "a.pcap", (0, there(ACK)))
  (tmp_path / "labels.csv").write_text("capture,label\nb.pcap,x\n")
  told = []
  found = sources.find([str(tmp_path)], tell=told.append)
  assert sorted(path.name for path in found) == ["a.pcap", "b.pcap"]
  assert len(told) == 1 and "labels.csv" in told[0]


def test_bad_files_are_left_out_if_asked_for(tmp_path):
  write(tmp_path / "good.pcap", (0, there(ACK)))
  (tmp_path / "bad.pcap").write_bytes(b"")
  pattern = str(tmp_path / "*.pcap")
  with pytest.raises(InputError, match=r"bad\.pcap"):
    sources.find([pattern])
  told = []
  found = sources.find([pattern], skip_bad=True, tell=told.append)
  assert [path.name for path in found] == ["good.pcap"]
  assert len(told) == 1 and "bad.pcap" in told[0]


@pytest.mark.parametrize(
  ("pack", "fewest"),
  [
    (gzip.compress, 1900),
    (bz2.compress, 4),  # All of a block of 900 kB is lost, however little is cut.
    (lzma.compress, 1900),
    (lambda data: pa.compress(data, codec="zstd", asbytes=True), 1000),
  ],
)
@pytest.mark.parametrize("chunk_bytes", [100, 1 << 16])
def test_packed_files_are_known_by_their_content(pack, fewest, chunk_bytes):
  packets = [(i * files.SECOND, os.urandom(200)) for i in range(3000)]
  content = files.pcap(packets)
  packed = pack(content[:1000]) + pack(content[1000:])
  found, accounts = files.read(packed, chunk_bytes)
  assert [data for *_, data in found] == [data for _, data in packets]
  assert not accounts.warnings
  found, accounts = files.read(packed[:-200_000])
  assert len(found) >= fewest and len(accounts.warnings) == 1
