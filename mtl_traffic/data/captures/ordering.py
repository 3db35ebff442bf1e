"""Puts the packets of a capture in order of time, within bounds.

Network cards with several queues, and merged files, record packets late. So packets are
held back until the capture's clock, the latest time so far, has advanced far enough, or
until many more packets have arrived. A packet that arrives later than that keeps its
place.

A clock may also be wrong. If a few packets have times far from all packets around them,
they get the time of the previous packet. Where the clock is set back, or captures are
joined in the wrong order, a new epoch of time begins. The order does not depend on how
packets are batched.
"""

import dataclasses
import datetime
from collections.abc import Iterator, Sequence

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.decoding import Packets
from mtl_traffic.data.captures.naming import FileNames
from mtl_traffic.data.captures.reading import NANOSECONDS

_MOST_HELD = 1 << 16  # Packets.
_PIECE = 1 << 16
_PROMPT = NANOSECONDS  # Whoever waits for less wants each packet as soon as can be.

_JUMP = 60 * NANOSECONDS  # Larger steps in time separate stretches of packets.
_FAR = 3600 * NANOSECONDS  # A few packets this far off and back have a wrong time.
_IMPLAUSIBLE = 86_400 * NANOSECONDS  # A longer silence causes a notice.
_FEW = 64  # A stretch of fewer packets may have wrong times; longer ones are trusted.

_EARLIEST = -(1 << 62)


@dataclasses.dataclass(frozen=True)
class Ordered:
  """Packets of a capture in their final order.

  Attributes:
    packets: m packets.
    clocks: `[m]` int64, ns, never decreasing within an epoch. The clock of a packet is
      its time, or for a late packet the time up to which packets were released.
    begins_epoch: whether an epoch begins with the first packet.
  """

  packets: Packets
  clocks: np.ndarray
  begins_epoch: bool = False

  def part(self, packets: slice | np.ndarray) -> "Ordered":
    """Selects some of the packets."""
    some = self.packets.part(packets)
    clocks = self.clocks[packets] if self.has_late else some.times
    return Ordered(some, clocks, self.begins_epoch)

  @property
  def has_late(self) -> bool:
    """Whether a packet's clock may differ from its time."""
    return self.clocks is not self.packets.times

  @staticmethod
  def concatenate(pieces: Sequence["Ordered"]) -> "Ordered":
    """Joins pieces."""
    packets = Packets.concatenate([each.packets for each in pieces])
    clocks = packets.times
    if any(each.has_late for each in pieces):
      clocks = np.concatenate([each.clocks for each in pieces])
    return Ordered(packets, clocks, pieces[0].begins_epoch)


class Ordering:
  """Puts the packets of one capture in order; holds some back between batches."""

  def __init__(self, files: FileNames, accounts: Accounts, wait: int):
    """Args:
    files: names packets in notices.
    accounts: where late packets and wrong clocks are counted.
    wait: how late a packet may be, in ns.
    """
    self._files, self._accounts, self._wait = files, accounts, wait
    self._undecided: list[Packets] = []
    self._held: list[Ordered] = []
    self._previous: int | None = None  # The last time that was not wrong.
    self._has_told = False
    self._begin_epoch(_EARLIEST)

  @property
  def now(self) -> int:
    """No packet that is yielded from now on is earlier than this, ns."""
    return min(self._now, int(self._held[0].clocks[0])) if self._held else self._now

  def add(self, packets: Packets) -> Iterator[Ordered]:
    """Adds a batch; yields the packets whose order is now known."""
    yield from self._go_on(packets, is_last=False)

  def flush(self) -> Iterator[Ordered]:
    """Yields all packets that are held back."""
    if self._undecided:
      yield from self._go_on(None, is_last=True)
    yield from self._release(self._clock + 1)

  def _go_on(self, packets: Packets | None, is_last: bool) -> Iterator[Ordered]:
    batches = [*self._undecided, *([packets] if packets else [])]
    self._undecided = []
    packets = Packets.concatenate(batches)
    if not len(packets.times):
      return
    packets, epochs, num_decided = self._correct(packets, is_last)
    if num_decided < len(packets.times):
      self._undecided = [packets.part(slice(num_decided, None))]
    begin = 0
    for epoch in [*epochs, num_decided]:
      if epoch > begin:
        self._hold(packets.part(slice(begin, epoch)))
      begin = epoch
      if epoch < num_decided:
        yield from self._release(self._clock + 1)
        self._begin_epoch(int(packets.times[epoch]))
    # Packets of equal time are released together, unless there is no waiting.
    few = 1 if self._wait < _PROMPT else _PIECE // 2
    yield from self._release(self._now + (self._wait == 0), at_least=few)

  def _correct(self, packets: Packets, is_last: bool) -> tuple[Packets, list[int], int]:
    """Finds impossible times.

    Returns:
      The packets with corrected times, where epochs begin, and for how many packets
      this is decided. For the last few it depends on later packets, unless `is_last`.
    """
    times, n = packets.times, len(packets.times)
    previous = int(times[0]) if self._previous is None else self._previous
    jumps = np.flatnonzero(np.abs(np.diff(times, prepend=previous)) > _JUMP)
    if not jumps.size:
      self._previous = int(times[-1])
      return packets, [], n
    # Loops over stretches of time; a capture has few.
    epochs, corrected = [], []
    begins, ends = jumps.tolist(), [*jumps[1:].tolist(), n]
    clock = self._clock
    if begins[0]:
      clock = max(clock, int(times[: begins[0]].max()))
      previous = int(times[begins[0] - 1])
    for begin, end in zip(begins, ends, strict=True):
      time = int(times[begin])
      is_behind = time < clock - _JUMP
      is_far = abs(time - previous) > _FAR
      if (is_behind or is_far) and end - begin < _FEW:
        if end == n and not is_last:
          self._previous = previous
          return _with_times(packets, corrected), epochs, begin
        after = int(times[end]) if end < n else None
        if is_far and after is not None and abs(after - previous) <= _FAR:
          self._tell_of_jump(packets, begin, previous, "it gets that packet's time")
          self._accounts.num_wrong_times += end - begin
          corrected.append((slice(begin, end), previous))
          continue
        if not is_far and after is not None and after >= clock - _JUMP:
          continue  # These packets are late.
      if is_behind:
        self._tell_of_jump(
          packets, begin, previous, "its clock was set back, or files are out of order"
        )
        epochs.append(begin)
        clock = time
      elif time - previous > _IMPLAUSIBLE:
        self._tell_of_jump(packets, begin, previous, "so are those after it, if any")
      clock = max(clock, int(times[begin:end].max()))
      previous = int(times[end - 1])
    self._previous = previous
    return _with_times(packets, corrected), epochs, n

  def _tell_of_jump(
    self, packets: Packets, place: int, previous: int, meaning: str
  ) -> None:
    self._accounts.num_jumps += 1
    if self._has_told:
      return
    self._has_told = True
    time = int(packets.times[place])
    (file,), (number,) = self._files.of(packets.numbers[place : place + 1])
    self._accounts.notices.append(
      f"{self._files.names[file]}: packet {number} is stamped {_date(time)}, "
      f"{_span(abs(time - previous))} {'after' if time > previous else 'before'} the "
      f"packet before it; {meaning}"
    )

  def _begin_epoch(self, time: int) -> None:
    self._clock = self._now = time  # Latest time so far; time up to which is released.
    self._recent: list[np.ndarray] = []  # Clocks of the last packets.
    self._begins_epoch = time != _EARLIEST

  def _hold(self, packets: Packets) -> None:
    """Sorts packets into those that are held."""
    times, n = packets.times, len(packets.times)
    after = np.maximum.accumulate(np.maximum(times, self._clock))
    self._recent.append(after)
    # The time up to which packets are released, before each packet and at the end.
    come = np.empty(n + 1, np.int64)
    come[0], come[1:] = self._now, after - self._wait
    passed = self._take_passed()
    behind = come[n + 1 - len(passed) :]
    np.maximum(behind, passed, out=behind)
    np.maximum.accumulate(come, out=come)
    num_behind = int(np.count_nonzero(times < after))
    self._clock, self._now = int(after[-1]), int(come[-1])
    num_late = int(np.count_nonzero(times < come[:-1]))
    clocks = np.maximum(times, come[:-1]) if num_late else times
    self._accounts.num_late += num_late
    self._accounts.num_reordered += num_behind - num_late
    new = Ordered(packets, clocks, self._begins_epoch)
    self._begins_epoch = False
    last = self._held[-1].clocks[-1:] if self._held else clocks[:0]
    # As they come, they are in order of their clocks.
    if not self._wait or _is_sorted(last, clocks, packets.is_syn):
      self._held.append(new)
      return
    earliest, among = clocks.min(), [new]
    while self._held and self._held[-1].clocks[-1] >= earliest:
      among.insert(0, self._held.pop())
    self._held.extend(_sorted(among))

  def _take_passed(self) -> np.ndarray:
    """The clocks of packets that have so many after them that they need not wait."""
    count = max(sum(map(len, self._recent)) - _MOST_HELD, 0)
    taken = [np.zeros(0, np.int64)]
    while count:
      first = self._recent[0]
      taken.append(first[:count])
      if count < len(first):
        self._recent[0] = first[count:]
        break
      count -= len(first)
      del self._recent[0]
    return np.concatenate(taken)

  def _release(self, before: int, at_least: int = 1) -> Iterator[Ordered]:
    """Yields the held packets that are earlier than `before`, in large pieces.

    Args:
      before: ns.
      at_least: if fewer packets are ready, they stay held.
    """
    ready, num_packets = [], 0
    for each in self._held:
      if each.clocks[-1] >= before:
        break
      ready.append(each)
      num_packets += len(each.clocks)
    is_last = len(ready) == len(self._held)
    if self._wait < _PROMPT and not is_last:
      first = self._held[len(ready)]
      place = int(np.searchsorted(first.clocks, before))
      if place:
        rest = first.part(slice(place, None))
        self._held[len(ready)] = dataclasses.replace(rest, begins_epoch=False)
        self._held.insert(len(ready), first.part(slice(place)))
        ready.append(self._held[len(ready)])
    elif num_packets < at_least:
      return
    del self._held[: len(ready)]
    yield from _in_large_pieces(ready)
    self._now = max(self._now, before - 1)


def _in_large_pieces(among: list[Ordered]) -> Iterator[Ordered]:
  while among:
    num_packets = count = 0
    while count < len(among) and (not count or num_packets < _PIECE // 2):
      num_packets += len(among[count].clocks)
      count += 1
    yield Ordered.concatenate(among[:count])
    del among[:count]


def _sorted(among: list[Ordered]) -> list[Ordered]:
  together = Ordered.concatenate(among)
  packets, clocks = together.packets, together.clocks
  # Among packets of equal time a SYN comes first: its consequences cannot precede it.
  begins = _begins_connection(packets, clocks)
  order = np.concatenate([np.flatnonzero(begins), np.flatnonzero(~begins)])
  order = order[np.argsort(clocks[order], kind="stable")]
  return [
    dataclasses.replace(
      together.part(order[i : i + _PIECE]),
      begins_epoch=together.begins_epoch and i == 0,
    )
    for i in range(0, len(order), _PIECE)
  ]


def _begins_connection(packets: Packets, clocks: np.ndarray) -> np.ndarray:
  return packets.is_syn & (packets.times == clocks)


def _is_sorted(last: np.ndarray, clocks: np.ndarray, is_syn: np.ndarray) -> bool:
  """Whether packets after `last` (one or none) are already in `_sorted`'s order."""
  steps = np.diff(clocks, prepend=last)
  if len(steps) and steps.min() < 0:
    return False
  return not is_syn[len(clocks) - len(steps) :][steps == 0].any()


def _with_times(packets: Packets, corrected: list[tuple[slice, int]]) -> Packets:
  if not corrected:
    return packets
  times = packets.times.copy()
  for where, time in corrected:
    times[where] = time
  return dataclasses.replace(packets, times=times)


def _date(time: int) -> str:
  when = datetime.datetime.fromtimestamp(time // NANOSECONDS, datetime.UTC)
  return when.strftime("%Y-%m-%d %H:%M:%S")


def _span(ns: int) -> str:
  seconds = ns / NANOSECONDS
  for size, unit in ((31_557_600, "years"), (86_400, "days"), (3600, "hours")):
    if seconds >= size:
      return f"{seconds / size:.1f} {unit}"
  return f"{seconds:.0f} s"
