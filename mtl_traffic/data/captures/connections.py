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
    packets: its packets,
    order: `[n]` int64, and where in them those of the batch are.
  """

  places: np.ndarray
  marks: np.ndarray
  batch: Sorted
  packets: Packets
  order: np.ndarray

  @classmethod
  def of(cls, batch: Sorted, packets: Packets, order: np.ndarray) -> "Syns":
    """The SYNs of packets that are sorted by `order`."""
    places = np.flatnonzero(batch.is_syn)
    marks = _mark(packets.sequences[order[places]], batch.from_first[places])
    return cls(places, marks, batch, packets, order)

  def that_ask(
    self, is_open: np.ndarray, first_times: np.ndarray, known: np.ndarray
  ) -> np.ndarray:
    """Which packets ask for a connection that may be another than the flow's.

    A SYN that came too late, or whose time is before all packets of the open flow,
    belongs to that flow. Among packets of the same time a SYN is sorted first.

    Args:
      is_open: `[g]` bool, whether five-tuples have an open flow.
      first_times: `[g]` int64, ns, when it began.
      known: `[g]` uint64, the five-tuples' last SYNs.

    Returns:
      `[n]` bool.
    """
    batch, places = self.batch, self.places
    asks = np.zeros(len(batch.times), bool)
    group, times = batch.group[places], batch.times[places]
    before = self._before(known)
    is_known = (before != NO_SYN) & (before != self.marks)
    is_earlier = batch.is_first[places] & (times < first_times[group])
    belongs = is_open[group] & is_earlier & ~is_known
    asks[places] = (times == batch.clock[places]) & ~belongs
    return asks

  def that_begin(
    self, is_open: np.ndarray, awaited: np.ndarray, known: np.ndarray
  ) -> np.ndarray:
    """Which packets are of another connection than the flow that they come upon.

    Args:
      is_open: `[g]` bool, whether five-tuples have an open flow.
      awaited: `[g]` uint64, what its last packet awaits.
      known: `[g]` uint64, the five-tuples' last SYNs.

    Returns:
      `[n]` bool.
    """
    batch, places, marks = self.batch, self.places, self.marks
    begins = np.zeros(len(batch.times), bool)
    group, is_first = batch.group[places], batch.is_first[places]
    before = self._before(known)
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
    begins[places] = (~is_first | is_open[group]) & ~goes_on
    return begins

  def _before(self, known: np.ndarray) -> np.ndarray:
    """`[s]` uint64: the SYN of the five-tuple before each one."""
    group = self.batch.group[self.places]
    before = np.roll(self.marks, 1)
    starts_group = np.diff(group, prepend=-1) != 0
    before[starts_group] = known[group[starts_group]]
    return before

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
    acknowledged = self.packets.acknowledged[self.order[places]]
    answered = _mark(acknowledged - np.uint32(1), ~self.batch.from_first[places])
    is_answer = self.batch.is_tcp[places] & (flags & ACK != 0)
    return np.where(
      self.batch.is_syn[places], _WAS_SYN, np.where(is_answer, answered, NO_SYN)
    )


def _mark(sequences: np.ndarray, from_first: np.ndarray) -> np.ndarray:
  sender = from_first.astype(np.uint64) << _SENDER
  return sequences.astype(np.uint64) | sender | _IS_ONE
