import numpy as np
import pytest

from mtl_traffic.data.captures.kept_packets import PACKET, KeptPackets


def numbered(first, count):
  packets = np.zeros(count, PACKET)
  packets["time"] = np.arange(first, first + count)
  return packets


def add(kept, slot, place, first, count):
  kept.add(
    np.full(count, slot), np.arange(place, place + count), numbered(first, count)
  )


def times(kept, *slots):
  packets, counts = kept.of(np.array(slots))
  parts = np.split(packets["time"], np.cumsum(counts)[:-1])
  return [part.tolist() for part in parts]


def test_packets_come_back_by_flow_as_they_were_added():
  kept = KeptPackets()
  slots = np.array([3, 5, 3, 3])
  kept.add(slots, np.array([0, 0, 1, 2]), numbered(0, 4))
  kept.add(np.array([5, 3]), np.array([1, 3]), numbered(4, 2))
  assert times(kept, 5, 3) == [[1, 4], [0, 2, 3, 5]]
  assert len(kept) == 6


@pytest.mark.parametrize("batch", [1, 7, 16, 100])
def test_a_flow_may_have_many_packets(batch):
  kept = KeptPackets()
  for place in range(0, 100, batch):
    count = min(batch, 100 - place)
    add(kept, 0, place, place, count)
    add(kept, 200, place, 1000 + place, count)
  assert times(kept, 0, 200) == [list(range(100)), list(range(1000, 1100))]


def test_flows_whose_packets_are_dropped_keep_no_later_ones():
  kept = KeptPackets()
  add(kept, 0, 0, 0, 20)
  add(kept, 1, 0, 100, 3)
  kept.drop(np.array([0]))
  add(kept, 0, 20, 20, 5)
  assert len(kept) == 3
  assert times(kept, 0, 1) == [[], [100, 101, 102]]


def test_a_slot_can_be_used_again():
  kept = KeptPackets()
  add(kept, 0, 0, 0, 40)
  kept.drop(np.array([0]))
  add(kept, 0, 0, 70, 2)
  assert times(kept, 0) == [[70, 71]]


def test_dropped_packets_leave_their_memory_to_others():
  kept = KeptPackets()
  for slot in range(10_000):
    add(kept, slot % 7, 0, 0, 16)
    kept.drop(np.array([slot % 7]))
  assert len(kept) == 0
  assert len(kept._pages) == len(KeptPackets()._pages)


def test_a_flow_that_was_never_seen_has_no_packets():
  kept = KeptPackets()
  assert times(kept, 4) == [[]]
  kept.drop(np.array([9]))
  assert kept.counts(np.array([4, 9])).tolist() == [0, 0]
