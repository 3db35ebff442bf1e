"""Tests of lengths that cannot be: cut, counted, and never written."""

import struct

import numpy as np
import pytest

from mtl_traffic.data import captures, parquet
from mtl_traffic.data.captures.extraction import extract
from mtl_traffic.data.captures.labels import Labels
from tests.data import capture_files as files


def with_wire_length(content, length):
  """A pcap whose first record says that so many bytes were on the wire."""
  return content[:36] + struct.pack("<I", length) + content[40:]


def without_ip_length(packet):
  return packet[:2] + b"\0\0" + packet[4:]


@pytest.mark.parametrize("length", [0xFFFFFFFF, 1 << 31, (1 << 18) + 1])
def test_a_length_that_cannot_be_is_cut_to_what_was_captured(tmp_path, length):
  packet = without_ip_length(files.ip_packet(payload=100))
  path, out = tmp_path / "a.pcap", tmp_path / "flows.parquet"
  path.write_bytes(with_wire_length(files.pcap([(0, packet)]), length))
  accounts = extract([path], out, Labels())
  flows = parquet.read(out)
  assert flows.num_bytes.tolist() == [128]
  assert flows.packets.lengths[0, 0] == 128
  assert (
    accounts.num_wrong_lengths == 1
    and "impossible length, so cut: 1" in accounts.summary()
  )


def test_the_length_of_a_long_frame_is_kept():
  packet = without_ip_length(files.ip_packet(payload=100))
  content = with_wire_length(files.pcap([(0, packet)]), 1 << 18)
  (flow,), accounts = files.flows_of(content)
  assert flow["num_bytes"] == 1 << 18 and accounts.num_wrong_lengths == 0


def test_what_was_written_says_which_flows_began_before(tmp_path):
  path, out = tmp_path / "a.pcap", tmp_path / "flows.parquet"
  packets = [(0, files.ip_packet(flags=files.ACK)), (0, files.ip_packet("10.0.0.7"))]
  packets += [(1, files.ip_packet("10.0.0.8", flags=files.SYN))]
  path.write_bytes(files.pcap(packets))
  extract([path], out, Labels(), captures.Rules())
  table = parquet.pq.read_table(out)
  assert table["start_seen"].to_pylist() == [False, None, True]
  assert np.array_equal(parquet.read(out).num_packets, [1, 1, 1])
