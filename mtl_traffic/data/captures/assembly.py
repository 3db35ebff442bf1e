"""Assembles packets into bidirectional flows (section IV-B of the paper).

A TCP flow ends at a FIN or RST, a UDP flow after 15 s of silence. Time is the capture's
clock: the latest packet time so far. A batch of packets is sorted by five-tuple, cut
where one flow ends and another begins, and added to the flows that are open, all
without a loop over packets. The result does not depend on how packets are batched.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.captured_flows import (
  END_REASON_NAMES,
  CapturedFlows,
  EndReason,
  format_addresses,
)
from mtl_traffic.data.captures.decoding import (
  ACK,
  FIN,
  KEY_WORDS,
  RST,
  SYN,
  TCP,
  Packets,
)
from mtl_traffic.data.captures.reading import NANOSECONDS
from mtl_traffic.errors import InputError
from mtl_traffic.flows import UNKNOWN, Flows, pad_packets

_NEVER = 1 << 62  # ns.
_FLOWS_AT_ONCE = 4096  # Bounds the padded arrays of what is handed out.
_REMEMBERED = 1 << 20  # Five-tuples whose client is known after their flow ended.


@dataclasses.dataclass(frozen=True)
class Rules:
  """What makes a flow, and how much of it is kept.

  Attributes:
    payload_lengths: lengths and bytes are those of TCP and UDP payload rather than of
      IP packets.
    max_packets: how many packets of each flow are kept; totals are of all.
    udp_silence_s: a UDP flow ends when it is silent for longer than this.
    tcp_idle_s: the same for TCP; without, only FIN and RST end a flow.
    tcp_active_s: a TCP flow that lasts longer than this is split.
    rst_ends: whether a RST ends a TCP flow.
    close_s: after a FIN or RST, packets belong to the flow until a new SYN or until it
      is silent for longer than this: acknowledgements, and what is sent again.
    max_open_flows: beyond, flows end early, so that a scan of many addresses cannot
      take all memory: those of a single packet first, then those silent for longest.
    max_open_packets: the same for the packets kept of open flows.
  """

  payload_lengths: bool = False
  max_packets: int = 128
  udp_silence_s: float = 15.0
  tcp_idle_s: float | None = None
  tcp_active_s: float | None = None
  rst_ends: bool = True
  close_s: float = 15.0
  max_open_flows: int = 1 << 17
  max_open_packets: int = 1 << 21

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.name in _CHOICES:
        if not isinstance(value, bool):
          raise InputError(f"{field.name} is {value}, must be true or false")
      elif value is not None and not (isinstance(value, int | float) and value > 0):
        raise InputError(f"{field.name} is {value}, must be greater than 0")

  @property
  def shared(self) -> dict[str, object]:
    """What training and answering must have in common, by name."""
    return {name: getattr(self, name) for name in _SHARED}

  def with_shared(self, shared: Mapping[str, object]) -> "Rules":
    """These rules with what `shared` says.

    Raises:
      InputError: there can be no such rules.
    """
    unknown = sorted(set(shared) - set(_SHARED))
    if unknown:
      raise InputError(f"there is no rule {unknown[0]!r} of flows")
    return dataclasses.replace(self, **shared)


_CHOICES = ("payload_lengths", "rst_ends")
_SHARED = (
  "payload_lengths",
  "udp_silence_s",
  "tcp_idle_s",
  "tcp_active_s",
  "rst_ends",
  "close_s",
)


DEFAULT_RULES = Rules()

_FLOW = np.dtype(
  [
    ("key", "u8", KEY_WORDS),
    ("first_number", "i8"),
    ("first_clock", "i8"),
    ("last_clock", "i8"),
    ("first_time", "i8"),  # Differs from the clock if packets come late.
    ("last_time", "i8"),
    ("num_packets", "i8"),
    ("num_bytes", "i8"),
    ("closed", "i1"),  # FIN or RST, once one was seen.
    ("end_reason", "i1"),
    ("is_open", "?"),
    ("client_is_first", "?"),  # Of the two endpoints of the key.
    ("saw_syn", "?"),
  ]
)
_KEPT_PACKET = np.dtype(
  [("slot", "i4"), ("length", "i4"), ("time", "i8"), ("from_first", "?")]
)


class FlowAssembler:
  """Turns the packets of one capture into flows.

  `add` takes a batch of packets; then `ended` yields the flows that have ended. After
  the last batch, `finish` ends those that are still open.
  """

  def __init__(self, capture: str, accounts: Accounts, rules: Rules = DEFAULT_RULES):
    self._capture = capture
    self._accounts = accounts
    self._rules = rules
    self._udp_silence = _nanoseconds(rules.udp_silence_s)
    self._tcp_idle = _nanoseconds(rules.tcp_idle_s)
    self._tcp_active = _nanoseconds(rules.tcp_active_s)
    self._close = _nanoseconds(rules.close_s)
    self._flows = np.zeros(1024, _FLOW)
    self._free = np.arange(len(self._flows))
    self._slots: dict[bytes, int] = {}  # Of the open flows, by five-tuple.
    self._kept = [np.zeros(0, _KEPT_PACKET)]  # Packets of the flows in the table.
    self._ended: list[np.ndarray] = []  # Slots that are not handed out yet.
    self._clients = np.zeros(_REMEMBERED, np.uint64)
    self._grown = (np.zeros(0, np.int64),) * 3

  def add(self, packets: Packets) -> None:
    """Adds a batch of packets, and ends the flows whose time is over."""
    if len(packets.times):
      self._add(packets)
    else:
      self._grown = (np.zeros(0, np.int64),) * 3
    self._expire(packets.now)
    self._evict()

  def ended(self, wait: bool = True) -> Iterator[CapturedFlows]:
    """Yields the flows that have ended since the last call, some at a time.

    Args:
      wait: whether few may wait until there are more, which is faster.
    """
    slots = np.concatenate(self._ended or [np.zeros(0, np.int64)])
    if not slots.size or (wait and len(slots) * 8 < len(self._slots)):
      return
    self._ended = []
    yield from self._hand_out(slots)
    kept = self._all_kept()
    self._kept = [kept[self._flows["is_open"][kept["slot"]]]]
    self._free = np.concatenate([self._free, slots])

  def finish(self) -> Iterator[CapturedFlows]:
    """Ends all flows and yields those that were not yielded yet."""
    self._end(np.flatnonzero(self._flows["is_open"]), EndReason.END_OF_CAPTURE)
    yield from self.ended(wait=False)

  def reaching(self, num_packets: int) -> Iterator[CapturedFlows]:
    """Yields the flows whose `num_packets`-th packet came with the last batch.

    To be called between `add` and `ended`, with at most `Rules.max_packets`.
    """
    slots, before, after = self._grown
    yield from self._hand_out(slots[(before < num_packets) & (after >= num_packets)])

  def forget_packets(self, num_packets: int) -> None:
    """Drops the packets of open flows that have as many; their totals go on.

    For those who have seen enough of a flow when it reaches as many: memory and time
    then depend on the flows that have not.
    """
    _, before, after = self._grown
    if ((before < num_packets) & (after >= num_packets)).any():
      kept = self._all_kept()
      self._kept = [kept[self._flows["num_packets"][kept["slot"]] < num_packets]]

  def advance(self, now: int) -> None:
    """Moves the clock on to `now`, ns, where no packet does: flows end by silence."""
    self._grown = (np.zeros(0, np.int64),) * 3
    self._expire(now)

  def _add(self, packets: Packets) -> None:
    order, is_first = _by_five_tuple(packets.keys)
    batch = _Sorted(
      clock=packets.clocks[order],
      keys=packets.keys[order],
      flags=packets.flags[order],
      is_first=is_first,
    )
    times, from_first = packets.times[order], packets.from_first[order]
    firsts = np.flatnonzero(is_first)
    names = _as_bytes(batch.keys[firsts])
    found = np.fromiter(map(self._slots.get, names, [-1] * len(names)), np.int64)
    before = self._flows[found]  # Of slot −1, what stands there has no meaning.
    before["closed"][found < 0] = 0

    splits = self._splits(batch, found >= 0, before)
    begins = is_first.copy()
    begins[splits] = True
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(order))
    group = batch.group[starts]
    opens_group = is_first[starts]
    goes_on = opens_group & (found[group] >= 0)
    goes_on[np.searchsorted(starts, splits)] = False

    slots = np.where(goes_on, found[group], -1)
    slots[~goes_on] = self._take_slots(int((~goes_on).sum()))
    flows = np.zeros(len(starts), _FLOW)
    flows["key"] = batch.keys[starts]
    flows["first_number"] = packets.numbers[order[starts]]
    flows["first_clock"] = batch.clock[starts]
    flows["first_time"] = flows["last_time"] = times[starts]
    flows[goes_on] = before[group[goes_on]]
    counted = flows["num_packets"].copy()

    self._find_clients(batch, flows, starts, ends, from_first, before, found >= 0)
    self._find_closes(batch, flows, starts, ends)
    lengths = packets.lengths[order]
    flows["is_open"] = True
    flows["num_packets"] += ends - starts
    flows["num_bytes"] += np.add.reduceat(lengths, starts)
    flows["last_clock"] = batch.clock[ends - 1]
    for field, reduce in (("first_time", np.minimum), ("last_time", np.maximum)):
      flows[field] = reduce(flows[field], reduce.reduceat(times, starts))
    self._flows[slots] = flows
    self._grown = (slots, counted, flows["num_packets"])

    segment = np.cumsum(begins) - 1
    place = np.arange(len(order)) + (counted - starts)[segment]
    keep = np.flatnonzero(place < self._rules.max_packets)
    kept = np.empty(len(keep), _KEPT_PACKET)
    kept["slot"] = slots[segment[keep]]
    kept["length"] = lengths[keep]
    kept["time"] = times[keep]
    kept["from_first"] = from_first[keep]
    self._kept.append(kept)

    closes_group = np.append(opens_group[1:], True)
    last = slots[closes_group]
    changed = np.flatnonzero(last != found)
    self._slots.update((names[i], int(last[i])) for i in changed)
    replaced = found[(found >= 0) & ~goes_on[opens_group]]
    self._end(np.concatenate([replaced, slots[~closes_group]]), forget=False)
    self._accounts.num_in_flows += len(order)
    self._accounts.num_late += int((packets.times < packets.clocks).sum())

  def _splits(
    self, batch: "_Sorted", is_open: np.ndarray, before: np.ndarray
  ) -> np.ndarray:
    """Where, within a five-tuple, a packet begins a new flow."""
    n, clock, group = len(batch.clock), batch.clock, batch.group
    previous = np.empty(n, np.int64)
    previous[1:] = clock[:-1]
    previous[batch.is_first] = np.where(
      is_open, before["last_clock"], clock[batch.is_first]
    )
    gap = clock - previous
    is_closing = self._is_closing(batch)
    is_idle = gap > np.where(batch.is_tcp, self._tcp_idle, self._udp_silence)
    is_syn = batch.is_tcp & (batch.flags & (SYN | ACK | RST) == SYN)
    # Each of these begins a new flow if the flow is closed by then. So whether it is
    # depends on the packets since the last of these only.
    asks = is_syn | is_idle | (batch.is_tcp & (gap > self._close))
    asking = np.flatnonzero(asks)
    splits = asking
    if asking.size:
      stops = np.flatnonzero(asks | batch.is_first)
      since = stops[np.maximum(np.searchsorted(stops, asking) - 1, 0)]
      since = np.where(batch.is_first[asking], asking, since)
      closings = np.concatenate([[0], np.cumsum(is_closing)])
      is_closed = closings[asking] > closings[since]
      came_closed = batch.is_first[since] & ((since == asking) | ~asks[since])
      is_closed |= came_closed & (before["closed"] != 0)[group[asking]]
      splits = asking[is_closed | is_idle[asking]]
    if self._tcp_active < _NEVER:
      splits = self._split_active(batch, splits, is_closing, is_open, before)
    return splits

  def _split_active(
    self,
    batch: "_Sorted",
    splits: np.ndarray,
    is_closing: np.ndarray,
    is_open: np.ndarray,
    before: np.ndarray,
  ) -> np.ndarray:
    """Splits flows that last too long as well, unless they are closed already."""
    clock, group = batch.clock, batch.group
    begins = batch.is_first.copy()
    begins[splits] = True
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(clock))
    goes_on = batch.is_first[starts] & is_open[group[starts]]
    goes_on[np.searchsorted(starts, splits)] = False
    begun = np.where(goes_on, before["first_clock"][group[starts]], clock[starts])
    closing = np.append(np.flatnonzero(is_closing), len(clock))
    ends = np.minimum(ends, closing[np.searchsorted(closing, starts)] + 1)
    is_split = (
      batch.is_tcp[starts]
      & (clock[ends - 1] - begun > self._tcp_active)
      & ~(goes_on & (before["closed"] != 0)[group[starts]])
    )
    active = []
    for i in np.flatnonzero(is_split):
      place, end, deadline = starts[i], ends[i], begun[i] + self._tcp_active
      while True:
        place += np.searchsorted(clock[place:end], deadline, side="right")
        if place >= end:
          break
        active.append(place)
        deadline = clock[place] + self._tcp_active
    return np.union1d(splits, np.array(active, np.int64))

  def _is_closing(self, batch: "_Sorted") -> np.ndarray:
    flags = FIN | RST if self._rules.rst_ends else FIN
    return batch.is_tcp & (batch.flags & flags != 0)

  def _find_closes(
    self, batch: "_Sorted", flows: np.ndarray, starts: np.ndarray, ends: np.ndarray
  ) -> None:
    """Notes the first FIN or RST of each flow."""
    first, is_there = _first_within(self._is_closing(batch), starts, ends)
    reasons = np.where(batch.flags[first] & FIN, EndReason.FIN, EndReason.RST)
    closes = is_there & (flows["closed"] == 0)
    flows["closed"][closes] = reasons[closes]

  def _find_clients(
    self,
    batch: "_Sorted",
    flows: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    from_first: np.ndarray,
    before: np.ndarray,
    is_open: np.ndarray,
  ) -> None:
    """Finds out who began each flow.

    It is who sent the SYN; else the client of the five-tuple's flow before, from which
    a time-out split it; else who sent the first packet.
    """
    first, is_there = _first_within(
      batch.is_tcp & (batch.flags & (SYN | RST) == SYN), starts, ends
    )
    shows = is_there & ~flows["saw_syn"]
    # A SYN with ACK is the answer to the client's.
    by_syn = from_first[first] ^ (batch.flags[first] & ACK != 0)
    opens_group = batch.is_first[starts]
    remembered, is_remembered = self._recall(batch.keys[batch.is_first])
    by_default = np.where(
      is_open,
      before["client_is_first"],
      np.where(is_remembered, remembered, from_first[batch.is_first]),
    )
    client = np.where(shows, by_syn, by_default[batch.group[starts]])
    decided = np.where(opens_group | shows, np.arange(len(starts)), 0)
    flows["client_is_first"] = client[np.maximum.accumulate(decided)]
    flows["saw_syn"] |= shows

  def _expire(self, now: int) -> None:
    """Ends the flows whose time is over, though no packet of theirs says so."""
    slots = np.flatnonzero(self._flows["is_open"])
    if slots.size:
      silent, active = self._deadlines(slots)
      self._end(slots[np.minimum(silent, active) < now])

  def _deadlines(self, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When flows end if they stay silent, and if they do not."""
    is_tcp = _is_tcp(self._flows["key"][slots, KEY_WORDS - 1])
    is_closed = self._flows["closed"][slots] != 0
    silence = np.where(is_tcp, self._tcp_idle, self._udp_silence)
    silence[is_closed] = np.minimum(self._close, self._tcp_idle)
    active = np.where(is_tcp & ~is_closed, self._tcp_active, _NEVER)
    return (
      self._flows["last_clock"][slots] + silence,
      self._flows["first_clock"][slots] + active,
    )

  def _evict(self) -> None:
    """Ends silent flows early if there are too many."""
    num_kept = sum(map(len, self._kept))
    if (
      len(self._slots) <= self._rules.max_open_flows
      and num_kept <= self._rules.max_open_packets
    ):
      return
    slots = np.flatnonzero(self._flows["is_open"])
    surplus = len(slots) - self._rules.max_open_flows
    few = max(surplus, 0) + min(len(slots), self._rules.max_open_flows) // 4
    # Those of one packet first, which are all that a flood of SYNs leaves.
    since = self._flows["last_clock"][slots]
    since = since - np.where(self._flows["num_packets"][slots] > 1, 0, _NEVER)
    silent = np.argpartition(since, few)[: few + 1]
    self._end(slots[silent], EndReason.EVICTED)

  def _end(
    self, slots: np.ndarray, reason: EndReason | None = None, forget: bool = True
  ) -> None:
    """Ends flows: by FIN or RST if there was one, else for the reason, or a time-out.

    `forget`: whether their five-tuples have no open flow then.
    """
    if not slots.size:
      return
    if reason is None:
      silent, active = self._deadlines(slots)
      reason = np.where(silent <= active, EndReason.IDLE, EndReason.ACTIVE)
    closed = self._flows["closed"][slots]
    keys = self._flows["key"][slots]
    self._flows["end_reason"][slots] = np.where(closed != 0, closed, reason)
    self._flows["is_open"][slots] = False
    self._remember(keys, self._flows["client_is_first"][slots])
    self._ended.append(slots)
    if forget:
      for name in _as_bytes(keys):
        del self._slots[name]
    self._count(slots)

  def _count(self, slots: np.ndarray) -> None:
    is_tcp = _is_tcp(self._flows["key"][slots, KEY_WORDS - 1])
    reasons = self._flows["end_reason"][slots]
    for protocol, rows in (("TCP", is_tcp), ("UDP", ~is_tcp)):
      for reason, count in enumerate(np.bincount(reasons[rows])):
        if count:
          name = END_REASON_NAMES[EndReason(reason)]
          self._accounts.flows[protocol, name] += int(count)

  def _take_slots(self, count: int) -> np.ndarray:
    missing = count - len(self._free)
    if missing > 0:
      size = len(self._flows)
      more = np.zeros(max(size, missing), _FLOW)
      self._flows = np.concatenate([self._flows, more])
      self._free = np.concatenate([self._free, np.arange(size, len(self._flows))])
    taken, self._free = self._free[:count], self._free[count:]
    return taken

  def _remember(self, keys: np.ndarray, client_is_first: np.ndarray) -> None:
    # A table of fixed size, in which a newer five-tuple may take an older one's place.
    tags = _hashes(keys)
    places = tags >> np.uint64(64 - _REMEMBERED.bit_length() + 1)
    self._clients[places] = tags & ~np.uint64(1) | client_is_first.astype(np.uint64)

  def _recall(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tags = _hashes(keys)
    found = self._clients[tags >> np.uint64(64 - _REMEMBERED.bit_length() + 1)]
    return found & np.uint64(1) == 1, (found ^ tags) <= 1

  def _all_kept(self) -> np.ndarray:
    if len(self._kept) > 1:
      self._kept = [np.concatenate(self._kept)]
    return self._kept[0]

  def _hand_out(self, slots: np.ndarray) -> Iterator[CapturedFlows]:
    slots = slots[np.argsort(self._flows["first_number"][slots])]
    rank = np.full(len(self._flows), -1)
    rank[slots] = np.arange(len(slots))
    kept = self._all_kept()
    ranks = rank[kept["slot"]]
    rows = np.flatnonzero(ranks >= 0)
    ends = np.cumsum(np.bincount(ranks[rows], minlength=len(slots)))
    rows = np.sort(ranks[rows] << 32 | rows) & 0xFFFFFFFF  # By flow, else as captured.
    for first in range(0, len(slots), _FLOWS_AT_ONCE):
      last = min(first + _FLOWS_AT_ONCE, len(slots))
      begin = ends[first - 1] if first else 0
      yield self._captured(
        self._flows[slots[first:last]],
        kept[rows[begin : ends[last - 1]]],
        np.diff(ends[first:last], prepend=begin),
      )

  def _captured(
    self, table: np.ndarray, kept: np.ndarray, counts: np.ndarray
  ) -> CapturedFlows:
    def of_packets(field: str) -> np.ndarray:
      return np.repeat(table[field], counts)

    packets, _ = pad_packets(
      (kept["time"] - of_packets("first_time")) / NANOSECONDS,
      kept["length"],
      np.where(kept["from_first"] == of_packets("client_is_first"), 1, -1),
      counts,
    )
    flows = Flows(
      packets=packets,
      num_packets=table["num_packets"],
      durations=(table["last_time"] - table["first_time"]) / NANOSECONDS,
      num_bytes=table["num_bytes"],
      classes=np.full(len(table), UNKNOWN, np.int32),
      partitions=np.zeros(len(table), np.int32),
      ids=np.array([f"{self._capture}#{n}" for n in table["first_number"].tolist()]),
      class_names=(),
      partition_names=(self._capture,),
    )
    key, is_client = table["key"], table["client_is_first"]
    versions = key[:, 4] & np.uint64(0xFF)
    first, second = (format_addresses(key[:, i : i + 2], versions) for i in (0, 2))
    first_port, second_port = (
      (key[:, 4] >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.int32)
      for shift in (32, 16)
    )
    return CapturedFlows(
      flows=flows,
      client_addresses=np.where(is_client, first, second),
      client_ports=np.where(is_client, first_port, second_port),
      server_addresses=np.where(is_client, second, first),
      server_ports=np.where(is_client, second_port, first_port),
      protocols=(key[:, 4] >> np.uint64(8) & np.uint64(0xFF)).astype(np.int32),
      end_reasons=table["end_reason"],
      start_times=table["first_time"],
    )


@dataclasses.dataclass(frozen=True)
class _Sorted:
  """A batch sorted by five-tuple, in the order of the capture within each."""

  clock: np.ndarray
  keys: np.ndarray
  flags: np.ndarray
  is_first: np.ndarray  # Whether a packet is the first of its five-tuple.

  @property
  def group(self) -> np.ndarray:
    return np.cumsum(self.is_first) - 1

  @property
  def is_tcp(self) -> np.ndarray:
    return _is_tcp(self.keys[:, KEY_WORDS - 1])


def _by_five_tuple(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The stable order of packets by five-tuple, and where, in it, each one begins."""
  n = len(keys)
  # Hash and place in one number: its sort is stable, and faster than one by a key.
  bits = np.uint64(max(n - 1, 1).bit_length())
  places = np.sort(_hashes(keys) >> bits << bits | np.arange(n, dtype=np.uint64))
  order = (places & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
  is_first = np.ones(n, bool)
  is_first[1:] = places[1:] >> bits != places[:-1] >> bits
  differs = _differs(keys[order])
  if (differs & ~is_first[1:]).any():  # Two five-tuples with one hash.
    order = np.lexsort(keys.T)
    is_first[1:] = _differs(keys[order])
  return order, is_first


def _differs(keys: np.ndarray) -> np.ndarray:
  differs = np.zeros(len(keys) - 1, bool)
  for word in keys.T:
    differs |= word[1:] != word[:-1]
  return differs


def _hashes(keys: np.ndarray) -> np.ndarray:
  """64-bit hashes of five-tuples; the upper bits are the better ones."""
  mix = np.uint64(0x9E3779B97F4A7C15)
  hashes = np.zeros(len(keys), np.uint64)
  for word in keys.T:
    hashes = (hashes ^ word) * mix
    hashes ^= hashes >> np.uint64(32)
  return hashes * mix


def _first_within(
  mask: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The first place in each stretch where the mask is true, and if there is one."""
  places = np.append(np.flatnonzero(mask), len(mask))
  first = places[np.searchsorted(places, starts)]
  is_there = first < ends
  return np.where(is_there, first, 0), is_there


def _is_tcp(last_word: np.ndarray) -> np.ndarray:
  return last_word >> np.uint64(8) & np.uint64(0xFF) == TCP


def _as_bytes(keys: np.ndarray) -> list[bytes]:
  return np.ascontiguousarray(keys).view(f"V{8 * KEY_WORDS}")[:, 0].tolist()


def _nanoseconds(seconds: float | None) -> int:
  return _NEVER if seconds is None else min(round(seconds * NANOSECONDS), _NEVER)
