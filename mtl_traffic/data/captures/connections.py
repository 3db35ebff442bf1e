"""Finds where one TCP connection ends and the next begins on the same five-tuple.

A SYN asks for a new connection if its initial sequence number differs from that of the
SYN before it. If they are equal, it is a retransmission.
"""

import dataclasses

import numpy as np

from mtl_traffic.data.captures.decoding import ACK, Packets
from mtl_traffic.data.captures.five_tuples import Sorted

# A SYN as a number holds its sequence number, a bit for the sender (the first of the
# key's endpoints or the other), and a bit that is set.
NO_SYN = np.uint64(0)
_SENDER, _IS_ONE = np.uint64(32), np.uint64(1 << 33)
_WAS_SYN = np.uint64(1 << 34)  # A SYN also awaits a SYN of the other side.


@dataclasses.dataclass(frozen=True)
class Syns:
  """The SYNs of a batch.

  Attributes:
    places: `[s]` int64, positions in the sorted batch.
    marks: `[s]` uint64, the SYNs as numbers.
    batch: the sorted batch, of n packets and g five-tuples.
    packets: the packets before sorting.
    order: `[n]` int64, the indices into `packets` that sort them.
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
    """Which packets are SYNs that may ask for a new connection.

    A SYN that came too late, or that is earlier than all packets of the open flow,
    belongs to that flow. Among packets of equal time a SYN is sorted first.

    Args:
      is_open: `[g]` bool, whether five-tuples have an open flow.
      first_times: `[g]` int64, ns, when that flow began.
      known: `[g]` uint64, the last SYN of each five-tuple.

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
    """Which packets begin another connection than that of the open flow.

    Args:
      is_open: `[g]` bool, whether five-tuples have an open flow.
      awaited: `[g]` uint64, the SYN that would belong to the flow's last packet.
      known: `[g]` uint64, the last SYN of each five-tuple.

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
      # Both sides may send a SYN at once.
      np.where(is_of_same, before == marks, awaited == _WAS_SYN),
    )
    begins[places] = (~is_first | is_open[group]) & ~goes_on
    return begins

  def _before(self, known: np.ndarray) -> np.ndarray:
    """`[s]` uint64: the previous SYN of the same five-tuple."""
    group = self.batch.group[self.places]
    before = np.roll(self.marks, 1)
    starts_group = np.diff(group, prepend=-1) != 0
    before[starts_group] = known[group[starts_group]]
    return before

  def last(self, ends: np.ndarray, begins: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The last SYN between `begins` and `ends`; the known one if there is none."""
    if not self.places.size:
      return known
    last = np.searchsorted(self.places, ends) - 1
    is_there = (last >= 0) & (self.places[last] >= begins)
    return np.where(is_there, self.marks[last], known)

  def awaited(self, places: np.ndarray) -> np.ndarray:
    """The SYN that would belong to the connection of packets at these places."""
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
