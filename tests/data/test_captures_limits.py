"""Tests of the limits on what open flows may take."""

import pytest

from mtl_traffic.data.captures.assembly import Rules
from tests.data import capture_files as files


def timed(*parts):
  return files.pcap([(round(t * files.SECOND), p) for t, p in parts], nano=True)


@pytest.mark.parametrize("chunk_bytes", [60, 300, 1 << 16])
def test_packets_of_ended_flows_evict_nobody(chunk_bytes):
  # Ten flows of five packets end at once by FIN; never do open flows have over 12.
  quiet = files.ip_packet(source_port=999)
  parts = [(0, quiet), (0.1, quiet)]
  for i in range(10):
    port = 1 + i
    parts += [(1 + i, files.ip_packet(source_port=port, flags=files.SYN))]
    parts += [(1 + i, files.ip_packet(source_port=port, flags=files.ACK))] * 3
    parts += [(1 + i, files.ip_packet(source_port=port, flags=files.FIN))]
  rules = Rules(max_open_packets=20, close_s=0.5)
  flows, _ = files.flows_of(timed(*parts), rules, chunk_bytes, wait=True)
  assert [(f["num_packets"], f["reason"]) for f in flows] == [
    (2, "END_OF_CAPTURE"),
    *[(5, "FIN")] * 10,
  ]


def test_packets_of_open_flows_end_the_silent_ones():
  parts = [
    (i, files.ip_packet(source_port=1 + i % 4, flags=files.ACK)) for i in range(40)
  ]
  flows, _ = files.flows_of(timed(*parts), Rules(max_open_packets=10), 300)
  assert {flow["reason"] for flow in flows} == {"EVICTED", "END_OF_CAPTURE"}
