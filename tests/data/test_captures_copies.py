"""Tests of `mtl_traffic.data.captures.copies`."""

import struct

import pytest

from mtl_traffic.data.captures.assembly import Rules
from tests.data import capture_files as files
from tests.data.capture_files import ACK, PSH, SYN


def packet(identification, **fields):
  """An IPv4 packet of this identification."""
  plain = files.ip_packet(**fields)
  return plain[:4] + struct.pack(">H", identification) + plain[6:]


def timed(*parts):
  """A capture of (microseconds, packet)."""
  return files.pcap([(t * 1000, p) for t, p in parts])


def with_hops(packet, hops):
  return packet[:8] + bytes([hops]) + packet[9:]


THREE = [
  packet(1, flags=SYN, sequence=7),
  packet(2, flags=ACK, sequence=8),
  packet(3, flags=PSH | ACK, sequence=8, payload=9),
]


@pytest.mark.parametrize("chunk_bytes", [60, 1 << 16])
def test_copies_are_dropped_on_request(chunk_bytes):
  content = timed(
    *[
      (i * 10_000 + k * 10, with_hops(each, 64 - k))
      for i, each in enumerate(THREE)
      for k in range(3)
    ]
  )
  flows, accounts = files.flows_of(content, Rules(drop_copies=True), chunk_bytes)
  assert [flow["num_packets"] for flow in flows] == [3]
  assert accounts.skipped == {"copy of a packet just before": 6}
  assert not accounts.notices
  flows, accounts = files.flows_of(content, Rules(), chunk_bytes)
  assert [flow["num_packets"] for flow in flows] == [9]
  (notice,) = accounts.notices
  assert "6 of 9 packets" in notice and "copies" in notice


def test_what_is_sent_again_is_no_copy():
  again = [
    (0, packet(1, flags=ACK, sequence=8, payload=5)),
    (100, packet(2, flags=ACK, sequence=8, payload=5)),  # Another identification.
    (5000, packet(2, flags=ACK, sequence=8, payload=5)),  # Too late for a copy.
    (5010, packet(2, flags=ACK, sequence=9, payload=5)),
    (5020, packet(2, flags=ACK, sequence=9, payload=6)),
  ]
  udp = files.ip_packet(payload=12)
  others = [(6000, udp), (6001, udp[:-12] + bytes(range(12)))]
  flows, accounts = files.flows_of(timed(*again, *others), Rules(drop_copies=True))
  assert [flow["num_packets"] for flow in flows] == [5, 2]
  assert accounts.num_copies == 0


def test_the_same_datagram_to_two_hosts_is_no_copy():
  parts = [(i, packet(0, target=f"10.0.0.{2 + i}")) for i in range(3)]
  _, accounts = files.flows_of(timed(*parts))
  assert (accounts.num_copies, accounts.num_looked_at) == (0, 3)
