"""Shards part the flows of a capture: each is in one of them, and as in the whole."""

import io

import numpy as np
import pytest

from mtl_traffic.data.captures import Accounts, Rules
from mtl_traffic.data.captures.assembly import FlowAssembler
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.data.captures.sequence import Shard, parts
from mtl_traffic.errors import InputError
from tests.data.capture_files import (
  ACK,
  FIN,
  SECOND,
  SYN,
  as_dicts,
  ip_packet,
  pcap,
)

NUM_FLOWS = 200


def capture(seed=0):
  """Flows in both directions, TCP and UDP, with silences, ends and late packets."""
  rng = np.random.default_rng(seed)
  packets = []
  for flow in range(NUM_FLOWS):
    there = {"source_port": 2000 + flow}
    back = {
      "source": "10.0.0.2",
      "source_port": 80,
      "target": "10.0.0.1",
      "target_port": 2000 + flow,
    }
    count = int(rng.integers(1, 9))
    times = rng.uniform(0, 60) + np.cumsum(rng.exponential(8, count))
    flags = [SYN, *[ACK] * 6, FIN | ACK]
    for i, time in enumerate(times):
      of_packet = {"flags": flags[i]} if flow % 2 else {}
      way = there if rng.random() < 0.5 else back
      packet = ip_packet(payload=int(rng.integers(0, 500)), **way, **of_packet)
      # As they come, some of them up to two minutes late.
      late = 120 * rng.random() if rng.random() < 0.05 else 0
      packets.append((time + late, round(time * SECOND), packet))
  packets.sort(key=lambda packet: packet[0])
  return pcap([packet[1:] for packet in packets], nano=True)


CAPTURE = capture()


def flows(shard=None, chunk_bytes=1 << 12):
  accounts, found = Accounts(), {}
  rules = Rules(reorder_s=60, tcp_idle_s=30)
  decoder = Decoder(accounts)
  assembler = FlowAssembler("c", accounts, rules, shard=shard)
  for raw in read_packets(io.BytesIO(CAPTURE), "c", accounts, chunk_bytes):
    assembler.add(decoder.decode(raw))
    for captured in assembler.ended():
      found |= dict(zip(captured.flows.ids, as_dicts(captured), strict=True))
  for captured in assembler.finish():
    found |= dict(zip(captured.flows.ids, as_dicts(captured), strict=True))
  return found, accounts


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_part_the_flows_exactly(count):
  whole, books = flows()
  assert len(whole) > NUM_FLOWS and books.num_late > 0
  parts = [flows(Shard(index, count)) for index in range(count)]
  together, num_in_flows = {}, 0
  for found, accounts in parts:
    assert not together.keys() & found.keys()
    together |= found
    num_in_flows += accounts.num_in_flows
    assert accounts.num_packets == books.num_packets
    others = accounts.skipped["of another shard"]
    assert accounts.num_in_flows + others == accounts.num_packets
  assert together == whole
  assert num_in_flows == books.num_in_flows
  sizes = [len(found) / len(whole) * count for found, _ in parts]
  assert min(sizes) > 0.4 and max(sizes) < 1.8  # Some have more flows than others.


def test_both_directions_are_in_one_shard():
  def keys(**options):
    content = io.BytesIO(pcap([(0, ip_packet(**options))]))
    (raw,) = read_packets(content, "c", Accounts())
    return Decoder(Accounts()).decode(raw).keys

  for port in range(1, 50):
    there = keys(source="10.0.0.9", source_port=port)
    back = keys(source="10.0.0.2", source_port=80, target="10.0.0.9", target_port=port)
    (index,) = [i for i in range(5) if Shard(i, 5).has(there)[0]]
    assert Shard(index, 5).has(back)[0]


def test_what_a_shard_says():
  assert Shard.of("0/1") == Shard(0, 1) and Shard.of(" 3/4 ") == Shard(3, 4)
  for text in ("", "1", "1/1", "4/4", "-1/4", "1/0", "a/b", "1/2/3", "0/9999999999"):
    with pytest.raises(InputError, match="must be I/N"):
      Shard.of(text)


def test_shards_of_shards_are_shards():
  rng = np.random.default_rng(0)
  keys = rng.integers(0, 1 << 63, (1000, 5)).astype(np.uint64)
  of_three, of_six = parts(keys, 3), parts(keys, 6)
  assert (of_six // 2 == of_three).all()
  assert set(of_six) == set(range(6))
  assert (Shard(2, 3).has(keys) == (of_three == 2)).all()
