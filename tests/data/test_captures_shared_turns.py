"""A turn that is put into shared memory comes out unchanged."""

import dataclasses
import io
import multiprocessing

import numpy as np
import pytest

from mtl_traffic.data.captures import Accounts, ordering, reading
from mtl_traffic.data.captures.decoding import Decoder, Packets
from mtl_traffic.data.captures.naming import FileNames
from mtl_traffic.data.captures.ordering import Ordered
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.data.captures.sequence import PacketSequence, Piece, Turn
from mtl_traffic.data.captures.shared_turns import MOST_PACKETS, SharedTurns
from tests.data.capture_files import ACK, SECOND, ip_packet, pcap


@pytest.fixture(scope="module")
def turns():
  return SharedTurns(multiprocessing.get_context("spawn"), 2)


def piece(inner=False, late=False):
  packets = [
    (n * SECOND, ip_packet(source_port=n + 1, flags=ACK, payload=n, sequence=7 * n))
    for n in range(10)
  ]
  accounts = Accounts()
  (raw,) = read_packets(io.BytesIO(pcap(packets)), "c", accounts)
  decoded = Decoder(accounts, inner=inner).decode(raw)
  clocks = decoded.times + 5 if late else decoded.times
  return Piece(Ordered(decoded, clocks, True), 3, 10**10, True)


@pytest.mark.parametrize(("inner", "late"), [(False, False), (True, True)])
def test_packets_are_as_they_were_left(turns, inner, late):
  whole = Turn([piece(inner, late)], 12)
  chosen = np.array([1, 4, 9])
  note = turns.put(1, whole, chosen)
  other = turns.put(0, whole, np.arange(10))  # In another slot.
  found = turns.get(1, note)
  assert found.now == 12 and turns.get(0, other).num_packets == 10
  (there,) = found.pieces
  assert (there.first, there.last, there.begins_epoch) == (3, 10**10, True)
  expected = whole.pieces[0].ordered.part(chosen)
  assert there.ordered.has_late is late and there.ordered.begins_epoch
  assert there.ordered.clocks.tolist() == expected.clocks.tolist()
  for field in dataclasses.fields(expected.packets):
    if field.name != "contents":
      ours, theirs = (
        getattr(each.packets, field.name) for each in (there.ordered, expected)
      )
      assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs), field.name


def test_a_turn_without_packets_moves_the_clock(turns):
  assert turns.get(0, turns.put(0, Turn([], 5), np.zeros(0, np.int64))) == Turn([], 5)
  none = turns.put(0, Turn([piece()], 5), np.zeros(0, np.int64))
  assert turns.get(0, none).num_packets == 0


def test_turns_apart_are_the_turn_and_fit():
  names, accounts = FileNames(), Accounts()
  names.begin("c", 0)
  sequence = PacketSequence(names, accounts, 0, False)
  # The largest batches, with a step back in time between them, make the largest pieces.
  content = pcap([(n % 40_000 * 1000, ip_packet()) for n in range(100_000)])
  decoder, together = Decoder(accounts), 0
  for raw in read_packets(io.BytesIO(content), "c", accounts, chunk_bytes=1 << 23):
    turn = sequence.add(decoder.decode(raw))
    apart = list(turn.one_by_one())
    assert [p for each in apart for p in each.pieces] == list(turn.pieces)
    assert apart[-1].now == turn.now
    assert all(each.now == each.pieces[0].last for each in apart[:-1])
    assert all(each.num_packets <= MOST_PACKETS for each in apart)
    together += turn.num_packets
  assert together + sequence.finish().num_packets == 100_000


def test_the_largest_piece_that_can_be_fits():
  """Held packets, undecided ones after a jump in time, and a whole batch."""
  names, accounts = FileNames(), Accounts()
  names.begin("c", 0)
  sequence = PacketSequence(names, accounts, 60 * SECOND, False)
  jump, batch = 7200 * SECOND, reading._PACKETS_AT_ONCE
  few, many = ordering._FEW - 1, ordering._PIECE // 2 - 1
  times = np.concatenate(
    [np.arange(many), jump + np.arange(few + batch), [jump + 120 * SECOND]]
  )
  content = pcap([(n * 1000, ip_packet()) for n in range(len(times))])
  raw = list(read_packets(io.BytesIO(content), "c", accounts, chunk_bytes=1 << 23))
  decoded = Packets.concatenate([Decoder(accounts).decode(each) for each in raw])
  decoded = dataclasses.replace(decoded, times=times)
  sizes = []
  begin = 0
  for size in (many + few, batch, 1):
    turn = sequence.add(decoded.part(slice(begin, begin + size)))
    sizes += [each.num_packets for each in turn.pieces]
    begin += size
  assert max(sizes) == many + few + batch
  assert max(sizes) <= MOST_PACKETS
