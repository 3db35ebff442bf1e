"""Flows that pause are told once for each pause, however packets are batched."""

import io

import pytest

from mtl_traffic.data.captures import Accounts, Rules
from mtl_traffic.data.captures.assembly import FlowAssembler
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.reading import read_packets
from tests.data.capture_files import SECOND, ip_packet, pcap

# Seconds at which packets come, by client port.
FLOWS = {
  1: (0, 1, 7, 8, 8.5, 20),  # Pauses after 2 and after 5 packets.
  2: (0.5, 1.5, 2.5, 8.4),  # After 3.
  3: (3, 3.1, 8.1, 12, 16, 20.5),  # Never for more than 5 s.
}


def pauses(chunk_bytes, reorder_s):
  packets = [
    (round(seconds * SECOND), ip_packet(source_port=port))
    for port, times in FLOWS.items()
    for seconds in times
  ]
  accounts, told = Accounts(), []
  rules = Rules(reorder_s=reorder_s, udp_silence_s=15)
  decoder, assembler = Decoder(accounts), FlowAssembler("c", accounts, rules, pause_s=5)

  def look():
    for count in assembler.pauses:
      for captured in assembler.pausing(count):
        told.extend((int(port), count) for port in captured.client_ports)
        assert (captured.flows.packets.counts >= count).all()
    list(assembler.ended())

  content = io.BytesIO(pcap(sorted(packets), nano=True))
  for raw in read_packets(content, "c", accounts, chunk_bytes):
    assembler.add(decoder.decode(raw))
    look()
  assembler.flush()
  look()
  yield sorted(told)
  assembler.advance(26 * SECOND)  # No packet for 5.5 s after the last.
  look()
  assembler.advance(27 * SECOND)
  look()
  yield sorted(told)


@pytest.mark.parametrize("chunk_bytes", [60, 100, 1 << 16])
@pytest.mark.parametrize("reorder_s", [0, 0.01, 60])
def test_each_pause_is_told_once(chunk_bytes, reorder_s):
  by_packets, by_clock = pauses(chunk_bytes, reorder_s)
  assert by_packets == [(1, 2), (1, 5), (2, 3), (2, 4)]
  assert by_clock == [(1, 2), (1, 5), (1, 6), (2, 3), (2, 4), (3, 6)]


def test_without_a_silence_nothing_pauses():
  assembler = FlowAssembler("c", Accounts(), Rules())
  decoder = Decoder(Accounts())
  content = io.BytesIO(pcap([(0, ip_packet()), (9 * SECOND, ip_packet())], nano=True))
  for raw in read_packets(content, "c", Accounts()):
    assembler.add(decoder.decode(raw))
  assembler.advance(14 * SECOND)
  assert assembler.pauses == []
