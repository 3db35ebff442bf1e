"""Puts the packets of a capture in order of time, within bounds.

Network cards with several queues, and merged files, record packets late. So packets are
held back until the capture's clock, the latest time so far, has advanced far enough, or
until many more packets have arrived. A packet that arrives later than that keeps its
place.

A clock may also be wrong. A few packets stamped far from all around them get the time
of the packet before. Where the clock is set back, or captures are joined in the wrong
order, time begins anew: an epoch. The order does not depend on how packets are batched.
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

_JUMP = 60 * NANOSECONDS  # Stamps that follow each other without one are a stretch.
_FAR = 3600 * NANOSECONDS  # What a few packets do not go to and come back from.
_IMPLAUSIBLE = 86_400 * NANOSECONDS  # A silence of that length is worth a notice.
_FEW = 64  # A stretch of fewer packets may be wrong, rather than those around it.

_EARLIEST = -(1 << 62)


@dataclasses.dataclass(frozen=True)
class Ordered:
  """Packets of a capture in the order in which they belong.

  Attributes:
    packets: m packets.
    clocks: `[m]` int64, ns, never decreasing within an epoch: their times, or for those
      that came too late how far the order had come.
    begins_epoch: whether time begins anew with the first of them.
  """

  packets: Packets
  clocks: np.ndarray
  begins_epoch: bool = False

  def part(self, packets: slice | np.ndarray) -> "Ordered":
    """Some of the packets."""
    some = self.packets.part(packets)
    clocks = self.clocks[packets] if self.has_late else some.times
    return Ordered(some, clocks, self.begins_epoch)

  @property
  def has_late(self) -> bool:
    """Whether a clock may differ from the time."""
    return self.clocks is not self.packets.times

  @staticmethod
  def concatenate(pieces: Sequence["Ordered"]) -> "Ordered":
    """What stands in pieces, one after another."""
    packets = Packets.concatenate([each.packets for each in pieces])
    clocks = packets.times
    if any(each.has_late for each in pieces):
      clocks = np.concatenate([each.clocks for each in pieces])
    return Ordered(packets, clocks, pieces[0].begins_epoch)


class Ordering:
  """Puts the packets of one capture in order; holds some of them in between."""

  def __init__(self, files: FileNames, accounts: Accounts, wait: int):
    """Args:
    files: what to call packets in notices.
    accounts: where late packets and wrong clocks are counted.
    wait: ns that a packet may be late.
    """
    self._files, self._accounts, self._wait = files, accounts, wait
    self._undecided: list[Packets] = []
    self._held: list[Ordered] = []
    self._previous: int | None = None  # The last time that is not wrong.
    self._has_told = False
    self._begin_epoch(_EARLIEST)

  @property
  def now(self) -> int:
    """What is yielded from now on is not earlier, ns."""
    return min(self._now, int(self._held[0].clocks[0])) if self._held else self._now

  def add(self, packets: Packets) -> Iterator[Ordered]:
    """Yields what can be put in order, given a batch more."""
    yield from self._go_on(packets, is_last=False)

  def flush(self) -> Iterator[Ordered]:
    """Yields all that is held."""
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
    # Of packets of one time all have come, unless nobody waits for them.
    few = 1 if self._wait < _PROMPT else _PIECE // 2
    yield from self._release(self._now + (self._wait == 0), at_least=few)

  def _correct(self, packets: Packets, is_last: bool) -> tuple[Packets, list[int], int]:
    """Looks for stamps that cannot be.

    Returns:
      The packets with those stamps corrected, where epochs begin, and how many packets
      are decided: what the last few are depends on those to come, unless `is_last`.
    """
    times, n = packets.times, len(packets.times)
    previous = int(times[0]) if self._previous is None else self._previous
    jumps = np.flatnonzero(np.abs(np.diff(times, prepend=previous)) > _JUMP)
    if not jumps.size:
      self._previous = int(times[-1])
      return packets, [], n
    # A loop over stretches of time, of which a capture has few.
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
          self._tell_of_jump(packets, begin, previous, "it is given the time of that")
          self._accounts.num_wrong_times += end - begin
          corrected.append((slice(begin, end), previous))
          continue
        if not is_far and after is not None and after >= clock - _JUMP:
          continue  # They are late.
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
    self._clock = self._now = time  # Latest time so far, and how far the order is.
    self._recent: list[np.ndarray] = []  # Clocks of the last packets.
    self._begins_epoch = time != _EARLIEST

  def _hold(self, packets: Packets) -> None:
    """Puts packets in their place among those that are held."""
    times, n = packets.times, len(packets.times)
    after = np.maximum.accumulate(np.maximum(times, self._clock))
    self._recent.append(after)
    # How far the order has come before a packet, and at last.
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
    # Taken as they come, they are in order of their clocks.
    if not self._wait or _is_sorted(last, clocks, packets.is_syn):
      self._held.append(new)
      return
    earliest, among = clocks.min(), [new]
    while self._held and self._held[-1].clocks[-1] >= earliest:
      among.insert(0, self._held.pop())
    self._held.extend(_sorted(among))

  def _take_passed(self) -> np.ndarray:
    """The clocks of packets that have so many behind them that they need not wait."""
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
    """Yields what is held and earlier than `before`, in large pieces.

    Args:
      before: ns.
      at_least: fewer packets are held on.
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
  # Of packets of one time a SYN is the first: what it caused cannot be before it.
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
  """Whether packets stand as `_sorted` would put them, behind `last` (one or none)."""
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
