"""Finds copies of packets, as Linux's `any` interface and mirror ports record them.

A copy has the same addresses, numbers, checksum and first bytes of payload as a packet
at most a millisecond before it; its hop limit may differ. A retransmission is no copy:
it has another IP identification, or comes later.
"""

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.five_tuples import hashes
from mtl_traffic.data.captures.ordering import Ordered

_WITHIN = 10**6  # ns.


class Copies:
  """Looks for copies in the packets of a capture, batch after batch."""

  def __init__(self, accounts: Accounts, drop: bool):
    """Args:
    accounts: where copies are counted.
    drop: whether to leave copies out.
    """
    self._accounts, self._drop = accounts, drop
    # The packets just before this batch.
    self._times, self._clocks = np.zeros((2, 0), np.int64)
    self._marks = np.zeros(0, np.uint64)

  def leave_out(self, ordered: Ordered) -> Ordered:
    """Returns the packets without copies, or all packets if copies are kept."""
    packets = ordered.packets
    known = np.flatnonzero(packets.contents)
    if not known.size:
      return ordered
    times = np.concatenate([self._times, packets.times[known]])
    clocks = np.concatenate([self._clocks, ordered.clocks[known]])
    contents = packets.contents[known] ^ packets.from_first[known].astype(np.uint64)
    marks = np.concatenate([self._marks, hashes(packets.keys[known]) ^ contents])
    order = np.argsort(marks, kind="stable")
    is_copy = np.zeros(len(marks), bool)
    is_copy[order[1:]] = (
      (marks[order[1:]] == marks[order[:-1]])
      & (np.abs(np.diff(times[order])) <= _WITHIN)
      & (np.abs(np.diff(clocks[order])) <= _WITHIN)
    )
    is_copy = is_copy[len(self._marks) :]
    recent = np.abs(clocks - ordered.clocks[-1]) <= _WITHIN
    self._times, self._clocks = times[recent], clocks[recent]
    self._marks = marks[recent]
    num_copies = int(np.count_nonzero(is_copy))
    self._accounts.num_looked_at += len(known)
    self._accounts.num_copies += num_copies
    if not (self._drop and num_copies):
      return ordered
    stays = np.ones(len(packets.times), bool)
    stays[known[is_copy]] = False
    return ordered.part(stays)
