"""Puts the packets of a capture in order of time and removes copies, batch by batch.

The result can be sharded by five-tuple, for flows to be assembled in several processes.
The hash is the same in both directions of a flow, and every shard uses the clock of the
whole capture. So a shard's flows are the same as without sharding.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts, Skipped
from mtl_traffic.data.captures.copies import Copies
from mtl_traffic.data.captures.decoding import Packets
from mtl_traffic.data.captures.five_tuples import hashes
from mtl_traffic.data.captures.naming import FileNames
from mtl_traffic.data.captures.ordering import Ordered, Ordering
from mtl_traffic.errors import InputError

_MANY_COPIES = 0.02  # A larger share of copies causes a notice.
_HALF = np.uint64(32)


@dataclasses.dataclass(frozen=True)
class Shard:
  """One of several parts into which all flows are divided.

  Attributes:
    index: the part, from 0.
    count: the number of parts.
  """

  index: int
  count: int

  @classmethod
  def of(cls, text: str) -> "Shard":
    """Parses a shard such as "0/4", the first of four.

    Raises:
      InputError: the text is not of this form.
    """
    said = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    if not said or int(said[1]) >= int(said[2]):
      raise InputError(f"{text}: must be I/N, from 0/N to N-1/N")
    return cls(int(said[1]), int(said[2]))

  def has(self, keys: np.ndarray) -> np.ndarray:
    """`[m]` bool: which of five-tuples `[m, 5]` are in it."""
    return parts(keys, self.count) == self.index


def parts(keys: np.ndarray, count: int) -> np.ndarray:
  """`[m]` int64: in which of `count` shards five-tuples `[m, 5]` are.

  Those of shard i of N are, of M·N shards, in M·i to M·i + M − 1.
  """
  # By the better half of the hash.
  return ((hashes(keys) >> _HALF) * np.uint64(count) >> _HALF).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Piece:
  """Consecutive packets, or those of one shard among them.

  Attributes:
    ordered: the packets.
    first: time of the first packet of all shards, by the capture's clock, ns.
    last: time of the last packet of all shards, ns.
    begins_epoch: whether an epoch begins with the first packet of all shards.
  """

  ordered: Ordered
  first: int
  last: int
  begins_epoch: bool

  @property
  def num_packets(self) -> int:
    return len(self.ordered.clocks)


@dataclasses.dataclass(frozen=True)
class Turn:
  """The result of adding a batch.

  Attributes:
    pieces: packets, in order.
    now: no later packet is earlier than this, ns.
  """

  pieces: Sequence[Piece]
  now: int

  @property
  def num_packets(self) -> int:
    return sum(piece.num_packets for piece in self.pieces)

  def one_by_one(self) -> Iterator["Turn"]:
    """The same as turns of one piece, or none."""
    for piece in self.pieces[:-1]:
      yield Turn([piece], piece.last)
    yield Turn(self.pieces[-1:], self.now)

  def part(self, shard: Shard) -> "Turn":
    """The packets of one shard, with the clock of all packets."""
    pieces = [
      dataclasses.replace(
        piece, ordered=piece.ordered.part(shard.has(piece.ordered.packets.keys))
      )
      for piece in self.pieces
    ]
    return dataclasses.replace(self, pieces=pieces)


class PacketSequence:
  """Puts the packets of one capture in order, and removes copies."""

  def __init__(
    self, files: FileNames, accounts: Accounts, wait: int, drop_copies: bool
  ):
    """Args:
    files: names packets in notices.
    accounts: where packets are counted.
    wait: how late a packet may be, in ns.
    drop_copies: whether to leave out copies.
    """
    self._files, self._accounts, self._drop_copies = files, accounts, drop_copies
    self._ordering = Ordering(files, accounts, wait)
    self._copies = Copies(accounts, drop_copies)

  def add(self, packets: Packets) -> Turn:
    """Adds a batch; returns the packets whose order is now known."""
    return self._turn(self._ordering.add(packets))

  def flush(self) -> Turn:
    """Returns the packets that are still held back."""
    return self._turn(self._ordering.flush())

  def advance(self, now: int) -> Turn:
    """The same where no packet comes, though the clock has moved on to `now`, ns."""
    turn = self.flush()
    return dataclasses.replace(turn, now=max(turn.now, now))

  def finish(self) -> Turn:
    """Returns the last packets, and adds a notice if there are many copies."""
    turn = self.flush()
    copies, looked_at = self._accounts.num_copies, self._accounts.num_looked_at
    if copies > looked_at * _MANY_COPIES and not self._drop_copies:
      self._accounts.notices.append(
        f"{self._files.names[0]}: {copies} of {looked_at} packets that were checked "
        "are copies of one just before; they count as packets unless they are dropped"
      )
    return turn

  def _turn(self, among: Iterator[Ordered]) -> Turn:
    pieces = [self._piece(ordered) for ordered in among]
    return Turn(pieces, self._ordering.now)

  def _piece(self, ordered: Ordered) -> Piece:
    stays = self._copies.leave_out(ordered)
    self._accounts.skip(Skipped.COPY, len(ordered.clocks) - len(stays.clocks))
    first, last = int(ordered.clocks[0]), int(ordered.clocks[-1])
    return Piece(stays, first, last, ordered.begins_epoch)
