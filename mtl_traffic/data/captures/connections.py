"""Tells where one TCP connection ends and the next begins on the same five-tuple.

A SYN with another initial sequence number than the one before asks for a new
connection; one with the same is sent again.
"""

import dataclasses

import numpy as np

from mtl_traffic.data.captures.decoding import ACK, Packets
from mtl_traffic.data.captures.five_tuples import Sorted

# A SYN as a number: its sequence number, whether the first of the key's endpoints sent
# it, and that there is one.
NO_SYN = np.uint64(0)
_SENDER, _IS_ONE = np.uint64(32), np.uint64(1 << 33)
_WAS_SYN = np.uint64(1 << 34)  # What a SYN awaits: one of the other side as well.


@dataclasses.dataclass(frozen=True)
class Syns:
  """The SYNs of a batch.

  Attributes:
    places: `[s]` int64, where in the batch.
    marks: `[s]` uint64, which SYN each is.
    batch: the batch, of n packets and g five-tuples.
    acknowledged: `[n]` uint32.
  """

  places: np.ndarray
  marks: np.ndarray
  batch: Sorted
  acknowledged: np.ndarray

  @classmethod
  def of(cls, batch: Sorted, packets: Packets, order: np.ndarray) -> "Syns":
    """The SYNs of packets that are sorted by `order`."""
    places = np.flatnonzero(batch.is_syn)
    marks = _mark(packets.sequences[order[places]], batch.from_first[places])
    return cls(places, marks, batch, packets.acknowledged[order])

  def that_begin(
    self, is_open: np.ndarray, awaited: np.ndarray, known: np.ndarray
  ) -> np.ndarray:
    """Which packets begin another connection than that of the flow they come upon.

    Args:
      is_open: `[g]` bool, whether five-tuples have an open flow.
      awaited: `[g]` uint64, what its last packet awaits.
      known: `[g]` uint64, the five-tuples' last SYNs.

    Returns:
      `[n]` bool.
    """
    batch, places, marks = self.batch, self.places, self.marks
    begins = np.zeros(len(batch.times), bool)
    if not places.size:
      return begins
    group, is_first = batch.group[places], batch.is_first[places]
    before = np.empty_like(marks)
    before[1:] = marks[:-1]
    starts_group = np.append(True, group[1:] != group[:-1])
    before[starts_group] = known[group[starts_group]]
    awaited = np.where(
      is_first, awaited[group], self.awaited(np.maximum(places - 1, 0))
    )
    is_of_same = (before ^ marks) >> _SENDER & np.uint64(1) == 0
    goes_on = np.where(
      before == NO_SYN,
      awaited == marks,
      # Both sides may ask at once.
      np.where(is_of_same, before == marks, awaited == _WAS_SYN),
    )
    comes_upon = ~is_first | is_open[group]
    # One that came too late belongs to what is there.
    is_in_time = batch.times[places] == batch.clock[places]
    begins[places[comes_upon & ~goes_on & is_in_time]] = True
    return begins

  def last(self, ends: np.ndarray, begins: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The last SYN before each of `ends`, not before `begins`; else what is known."""
    if not self.places.size:
      return known
    last = np.searchsorted(self.places, ends) - 1
    is_there = (last >= 0) & (self.places[last] >= begins)
    return np.where(is_there, self.marks[last], known)

  def awaited(self, places: np.ndarray) -> np.ndarray:
    """Which SYN would belong to the connection of packets that show no SYN before."""
    flags = self.batch.flags[places]
    answered = _mark(
      self.acknowledged[places] - np.uint32(1), ~self.batch.from_first[places]
    )
    is_answer = self.batch.is_tcp[places] & (flags & ACK != 0)
    return np.where(
      self.batch.is_syn[places], _WAS_SYN, np.where(is_answer, answered, NO_SYN)
    )


def _mark(sequences: np.ndarray, from_first: np.ndarray) -> np.ndarray:
  sender = from_first.astype(np.uint64) << _SENDER
  return sequences.astype(np.uint64) | sender | _IS_ONE
