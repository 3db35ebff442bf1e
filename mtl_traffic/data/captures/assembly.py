"""Assembles packets into bidirectional flows (section IV-B of the paper).

A TCP flow ends at a FIN or RST, or where another connection begins. A UDP flow ends
after 15 s of silence. Packets are first put in order of time (`ordering`). Each batch
is then sorted by five-tuple, cut where one flow ends and another begins, and added to
the open flows, all without a loop over packets. The result does not depend on how
packets are batched, unless flows end early because too many are open.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts, Skipped
from mtl_traffic.data.captures.captured_flows import (
  END_REASON_NAMES,
  CapturedFlows,
  EndReason,
  format_addresses,
)
from mtl_traffic.data.captures.connections import NO_SYN, Syns
from mtl_traffic.data.captures.decoding import ACK, FIN, RST, SYN, Packets
from mtl_traffic.data.captures.five_tuples import (
  Sorted,
  by_five_tuple,
  has_tcp,
  hashes,
)
from mtl_traffic.data.captures.headers import KEY_WORDS
from mtl_traffic.data.captures.kept_packets import PACKET, KeptPackets
from mtl_traffic.data.captures.naming import FileNames
from mtl_traffic.data.captures.ordering import Ordered
from mtl_traffic.data.captures.reading import NANOSECONDS
from mtl_traffic.data.captures.sequence import PacketSequence, Shard, Turn
from mtl_traffic.errors import InputError
from mtl_traffic.flows import UNKNOWN, Flows, pad_packets

_NEVER = 1 << 62  # ns.
_FLOWS_AT_ONCE = 4096  # Bounds the padded arrays of the flows that are yielded.
_EXPIRE_EVERY = NANOSECONDS // 10  # All open flows are looked at, so not every turn.
_REMEMBERED = 1 << 20  # Five-tuples whose client is remembered after their flow ended.


@dataclasses.dataclass(frozen=True)
class Rules:
  """How packets are assembled into flows, and how many packets of a flow are kept.

  Attributes:
    payload_lengths: whether lengths and bytes are of TCP and UDP payload rather than of
      IP packets.
    max_packets: how many packets of each flow are kept; totals count all packets.
    udp_silence_s: a UDP flow ends when it is silent for longer than this.
    tcp_idle_s: a TCP flow ends when it is silent for longer than this; None = only FIN
      and RST end it.
    tcp_active_s: a TCP flow that lasts longer than this is split.
    rst_ends: whether a RST ends a TCP flow.
    close_s: after a FIN or RST, packets such as acknowledgements and retransmissions
      still belong to the flow, until a new SYN or a silence longer than this.
    inner: whether to take the innermost packet of a tunnel.
    drop_copies: whether to leave out copies of packets, see `copies`.
    reorder_s: how late a packet may come and still be put in order; with 0 packets are
      taken as they come.
    max_open_flows: if more flows are open, some end early, so that a scan of many
      addresses cannot use up the memory. Flows of a single packet end first, then those
      silent for longest.
    max_open_packets: the same limit for the packets that are kept of open flows.
  """

  payload_lengths: bool = False
  max_packets: int = 128
  udp_silence_s: float = 15.0
  tcp_idle_s: float | None = None
  tcp_active_s: float | None = None
  rst_ends: bool = True
  close_s: float = 15.0
  inner: bool = False
  drop_copies: bool = False
  reorder_s: float = 60.0
  max_open_flows: int = 1 << 17
  max_open_packets: int = 1 << 21

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.name in _CHOICES:
        if not isinstance(value, bool):
          raise InputError(f"{field.name} is {value}, must be true or false")
      elif field.name == "reorder_s" and value == 0:
        continue
      elif value is not None and not (isinstance(value, int | float) and value > 0):
        raise InputError(f"{field.name} is {value}, must be greater than 0")

  @property
  def shared(self) -> dict[str, object]:
    """The rules, by name, that must be equal in training and prediction."""
    return {name: getattr(self, name) for name in _SHARED}

  def with_shared(self, shared: Mapping[str, object]) -> "Rules":
    """Returns these rules with the values of `shared`.

    Raises:
      InputError: a rule is unknown or invalid.
    """
    unknown = sorted(set(shared) - set(_SHARED))
    if unknown:
      raise InputError(f"there is no rule {unknown[0]!r} of flows")
    return dataclasses.replace(self, **shared)


_CHOICES = ("payload_lengths", "rst_ends", "inner", "drop_copies")
_SHARED = (
  "payload_lengths",
  "udp_silence_s",
  "tcp_idle_s",
  "tcp_active_s",
  "rst_ends",
  "close_s",
  "inner",
  "drop_copies",
)


DEFAULT_RULES = Rules()

_FLOW = np.dtype(
  [
    ("key", "u8", KEY_WORDS),
    ("first_number", "i8"),
    ("first_clock", "i8"),
    ("last_clock", "i8"),
    ("first_time", "i8"),  # Differs from the clock if packets came late.
    ("last_time", "i8"),
    ("previous_time", "i8"),
    ("num_packets", "i8"),
    ("num_bytes", "i8"),
    ("paused", "i8"),  # The number of packets when it last paused.
    ("closed", "i1"),  # FIN or RST, once one was seen.
    ("end_reason", "i1"),
    ("is_open", "?"),
    ("client_is_first", "?"),  # Whether the key's first endpoint is the client.
    ("saw_syn", "?"),
    ("syn", "u8"),  # The last SYN of the five-tuple, as in `connections`.
    ("awaits", "u8"),  # The SYN that would belong to its last packet.
  ]
)
_CARRIED_FLOW = np.dtype([*_FLOW.descr, ("carrier", "u8", KEY_WORDS)])


class FlowAssembler:
  """Turns the packets of one capture into flows.

  `add` takes a batch of packets; then `ended` yields the flows that have ended. After
  the last batch, `finish` ends those that are still open.
  """

  def __init__(
    self,
    capture: str,
    accounts: Accounts,
    rules: Rules = DEFAULT_RULES,
    pause_s: float | None = None,
    shard: Shard | None = None,
  ):
    """Args:
    capture: the name of the capture.
    accounts: where packets and flows are counted.
    rules: how packets are assembled into flows.
    pause_s: the silence after which `pausing` yields a flow; by default it yields none.
    shard: which flows to assemble; by default all.
    """
    self._files = FileNames()
    self._files.begin(capture, accounts.num_packets)
    wait = _nanoseconds(rules.reorder_s)
    self._sequence = PacketSequence(self._files, accounts, wait, rules.drop_copies)
    self._accounts = accounts
    self._rules = rules
    self._shard = shard
    self._udp_silence = _nanoseconds(rules.udp_silence_s)
    self._tcp_idle = _nanoseconds(rules.tcp_idle_s)
    self._tcp_active = _nanoseconds(rules.tcp_active_s)
    self._close = _nanoseconds(rules.close_s)
    self._pause = _nanoseconds(pause_s)
    self._kind = _CARRIED_FLOW if rules.inner else _FLOW
    self._flows = np.zeros(1024, self._kind)
    self._free = np.arange(len(self._flows))
    self._slots: dict[bytes, int] = {}  # The open flows' slots, by five-tuple.
    self._kept = KeptPackets()  # Of the flows in the table.
    self._ended: list[np.ndarray] = []  # Slots of ended flows that are not yielded yet.
    self._clients = np.zeros(_REMEMBERED, np.uint64)
    self._syns = np.zeros(_REMEMBERED, np.uint64)
    self._grown: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    self._pauses: list[tuple[np.ndarray, np.ndarray]] = []
    self._begun = _NEVER  # When the capture began, ns.
    # The capture's clock, and what it was when flows were last looked at, ns.
    self._now = self._looked = -_NEVER

  def begin_file(self, name: str, num_before: int | None = None) -> None:
    """Notes that the following packets are from another file.

    Args:
      name: the name of the file.
      num_before: packets before the file; by default those read so far.
    """
    num_read = self._accounts.num_packets
    self._files.begin(name, num_read if num_before is None else num_before)

  def add(self, packets: Packets) -> None:
    """Adds a batch of packets, and ends flows that have timed out."""
    self.take(self._sequence.add(packets))

  def flush(self) -> None:
    """Adds the packets that are still held back for ordering."""
    self.take(self._sequence.flush())

  def advance(self, now: int) -> None:
    """Moves the clock on to `now`, ns, where no packet does: flows end by silence."""
    self.take(self._sequence.advance(now))

  def take(self, turn: Turn) -> None:
    """Adds packets that were put in order elsewhere."""
    self._grown, self._pauses = [], []
    if self._shard:
      num_packets = turn.num_packets
      turn = turn.part(self._shard)
      self._accounts.skip(Skipped.OTHER_SHARD, num_packets - turn.num_packets)
    for piece in turn.pieces:
      self._begun = min(self._begun, piece.first)
      if piece.begins_epoch:
        self._expire_ahead(piece.first)
      if piece.num_packets:
        self._add(piece.ordered)
      self._expire(piece.last)
      self._evict()
    self._now = turn.now
    self._expire(turn.now)
    self._find_silent(turn.now)

  def ended(self, wait: bool = True) -> Iterator[CapturedFlows]:
    """Yields the flows that have ended since the last call, in batches.

    Args:
      wait: whether a small batch may wait for more flows, which is faster.
    """
    slots = np.concatenate(self._ended or [np.zeros(0, np.int64)])
    can_wait = wait and len(self._kept) <= self._rules.max_open_packets
    if not slots.size or (can_wait and len(slots) * 8 < len(self._slots)):
      return
    self._ended = []
    yield from self._hand_out(slots)
    self._kept.drop(slots)
    self._free = np.concatenate([self._free, slots])

  def finish(self) -> Iterator[CapturedFlows]:
    """Takes the last packets, and ends all flows, as `end_all`."""
    self.take(self._sequence.finish())
    yield from self.end_all()

  def end_all(self) -> Iterator[CapturedFlows]:
    """Ends all flows and yields those that were not yielded yet."""
    yield from self.ended()
    self._expire(self._now, at_once=True)
    self._end(np.flatnonzero(self._flows["is_open"]), EndReason.END_OF_CAPTURE)
    yield from self.ended(wait=False)

  def reaching(self, num_packets: int) -> Iterator[CapturedFlows]:
    """Yields the flows whose `num_packets`-th packet came with the last batch.

    Call it between `add` and `ended`, with at most `Rules.max_packets`.
    """
    yield from self._hand_out(self._reached(num_packets))

  @property
  def num_open(self) -> int:
    """How many flows are open."""
    return len(self._slots)

  @property
  def pauses(self) -> list[int]:
    """The packet counts at which flows paused in the last batch, ascending."""
    counts = [counts for _, counts in self._pauses]
    return np.unique(np.concatenate(counts)).tolist() if counts else []

  def pausing(self, num_packets: int) -> Iterator[CapturedFlows]:
    """Yields the flows that pause after their `num_packets`-th packet.

    A pause is yielded once, as soon as the capture's clock shows it, even if the flow
    continued later in the same batch. Call it between `add` and `ended`.
    """
    slots = [slots[counts == num_packets] for slots, counts in self._pauses]
    yield from self._hand_out(np.concatenate([np.zeros(0, np.int64), *slots]))

  def forget_packets(self, num_packets: int) -> None:
    """Drops the packets of flows that reached `num_packets`, and keeps no later ones.

    Their totals are still counted. For callers that need no more packets of a flow
    then. Memory then depends only on the flows with fewer packets.
    """
    self._kept.drop(self._reached(num_packets))

  def _reached(self, num_packets: int) -> np.ndarray:
    """The flows whose `num_packets`-th packet came with the last batch."""
    return np.concatenate(
      [
        slots[(before < num_packets) & (after >= num_packets)]
        for slots, before, after in self._grown
      ]
      or [np.zeros(0, np.int64)]
    )

  def _add(self, ordered: Ordered) -> None:
    packets = ordered.packets
    order, is_first = by_five_tuple(packets.keys)
    times = packets.times[order]
    batch = Sorted(
      clock=ordered.clocks[order] if ordered.has_late else times,
      times=times,
      keys=packets.keys[order],
      flags=packets.flags[order],
      from_first=packets.from_first[order],
      is_first=is_first,
    )
    from_first = batch.from_first
    firsts = np.flatnonzero(is_first)
    names = _as_bytes(batch.keys[firsts])
    found = np.fromiter(map(self._slots.get, names, [-1] * len(names)), np.int64)
    before = self._flows[found]  # Meaningless where the slot is −1.
    before["closed"][found < 0] = 0

    syns = Syns.of(batch, packets, order)
    remembered = self._recall(batch.keys[firsts])
    known_syns = np.where(found >= 0, before["syn"], remembered.syns)
    asks = syns.that_ask(found >= 0, before["first_time"], known_syns)
    is_another = asks & syns.that_begin(found >= 0, before["awaits"], known_syns)
    splits = self._splits(batch, found >= 0, before, asks, is_another)
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
    flows = np.zeros(len(starts), self._kind)
    flows["key"] = batch.keys[starts]
    flows["first_number"] = packets.numbers[order[starts]]
    if self._rules.inner:
      flows["carrier"] = packets.carriers[order[starts]]
    flows["first_clock"] = batch.clock[starts]
    flows["first_time"] = flows["last_time"] = times[starts]
    flows[goes_on] = before[group[goes_on]]
    counted = flows["num_packets"].copy()

    by_default = np.where(
      found >= 0,
      before["client_is_first"],
      np.where(remembered.is_there, remembered.client_is_first, from_first[firsts]),
    )
    self._find_clients(batch, flows, starts, ends, by_default)
    self._find_closes(batch, flows, starts, ends)
    lengths = packets.lengths[order]
    flows["is_open"] = True
    flows["num_packets"] += ends - starts
    flows["num_bytes"] += np.add.reduceat(lengths, starts)
    flows["last_clock"] = batch.clock[ends - 1]
    flows["previous_time"] = times[ends - 1]
    flows["syn"] = syns.last(ends, firsts[group], known_syns[group])
    flows["awaits"] = syns.awaited(ends - 1)
    for field, reduce in (("first_time", np.minimum), ("last_time", np.maximum)):
      flows[field] = reduce(flows[field], reduce.reduceat(times, starts))
    self._flows[slots] = flows
    self._grown.append((slots, counted, flows["num_packets"]))

    segment = np.cumsum(begins) - 1
    place = np.arange(len(order)) + (counted - starts)[segment]
    if self._pause < _NEVER:
      gap = batch.since_previous(batch.clock, found >= 0, before["last_clock"])
      is_known = place == flows["paused"][segment]  # No pause is at 0 packets.
      paused = np.flatnonzero((gap > self._pause) & ~is_known & (place > 0))
      self._pauses.append((slots[segment[paused]], place[paused]))
    keep = np.flatnonzero(place < self._rules.max_packets)
    kept = np.empty(len(keep), PACKET)
    kept["length"] = lengths[keep]
    kept["time"] = times[keep]
    kept["from_first"] = from_first[keep]
    self._kept.add(slots[segment[keep]], place[keep], kept)

    closes_group = np.append(opens_group[1:], True)
    last = slots[closes_group]
    changed = np.flatnonzero(last != found)
    self._slots.update((names[i], int(last[i])) for i in changed)
    # The flows that are followed by another of their five-tuple, and when that begins.
    is_replaced = (found >= 0) & ~goes_on[opens_group]
    replaced = np.concatenate([found[is_replaced], slots[~closes_group]])
    follows = np.concatenate(
      [np.flatnonzero(opens_group)[is_replaced], np.flatnonzero(~closes_group) + 1]
    )
    self._end(replaced, forget=False, followed=batch.clock[starts[follows]])
    self._accounts.num_in_flows += len(order)

  def _splits(
    self,
    batch: Sorted,
    is_open: np.ndarray,
    before: np.ndarray,
    asks_for_connection: np.ndarray,
    is_another: np.ndarray,
  ) -> np.ndarray:
    """Where, within a five-tuple, a packet begins a new flow."""
    group = batch.group
    gap = batch.since_previous(batch.clock, is_open, before["last_clock"])
    was_late = is_open & (before["previous_time"] < before["last_clock"])
    if batch.clock is not batch.times or was_late.any():
      # For late packets, the silence by their own times counts too.
      own = batch.since_previous(batch.times, is_open, before["previous_time"])
      gap = np.maximum(gap, np.abs(own))
    is_closing = self._is_closing(batch)
    is_idle = gap > np.where(batch.is_tcp, self._tcp_idle, self._udp_silence)
    # Each of these begins a new flow if the flow is closed by then. So only the packets
    # since the last of these decide whether it is closed.
    is_new = is_idle | is_another
    asks = asks_for_connection | is_new | (batch.is_tcp & (gap > self._close))
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
      splits = asking[is_closed | is_new[asking]]
    if self._tcp_active < _NEVER:
      splits = self._split_active(batch, splits, is_closing, is_open, before)
    return splits

  def _split_active(
    self,
    batch: Sorted,
    splits: np.ndarray,
    is_closing: np.ndarray,
    is_open: np.ndarray,
    before: np.ndarray,
  ) -> np.ndarray:
    """Also splits flows that last too long, unless they are closed already."""
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

  def _is_closing(self, batch: Sorted) -> np.ndarray:
    flags = FIN | RST if self._rules.rst_ends else FIN
    return batch.is_tcp & (batch.flags & flags != 0)

  def _find_closes(
    self, batch: Sorted, flows: np.ndarray, starts: np.ndarray, ends: np.ndarray
  ) -> None:
    """Notes the first FIN or RST of each flow."""
    first, is_there = _first_within(self._is_closing(batch), starts, ends)
    reasons = np.where(batch.flags[first] & FIN, EndReason.FIN, EndReason.RST)
    closes = is_there & (flows["closed"] == 0)
    flows["closed"][closes] = reasons[closes]

  def _find_clients(
    self,
    batch: Sorted,
    flows: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    by_default: np.ndarray,
  ) -> None:
    """Finds the client of each flow.

    The client is the sender of the SYN. Without a SYN it is the client of the previous
    flow of the five-tuple, if a time-out split the two. Otherwise it is the sender of
    the first packet.
    """
    first, is_there = _first_within(
      batch.is_tcp & (batch.flags & (SYN | RST) == SYN), starts, ends
    )
    shows = is_there & ~flows["saw_syn"]
    # A SYN with ACK is the server's answer.
    by_syn = batch.from_first[first] ^ (batch.flags[first] & ACK != 0)
    opens_group = batch.is_first[starts]
    client = np.where(shows, by_syn, by_default[batch.group[starts]])
    decided = np.where(opens_group | shows, np.arange(len(starts)), 0)
    flows["client_is_first"] = client[np.maximum.accumulate(decided)]
    flows["saw_syn"] |= shows

  def _expire(self, now: int, at_once: bool = False) -> None:
    """Ends flows that have timed out by the capture's clock, if it is time to look."""
    if not at_once and 0 <= now - self._looked < _EXPIRE_EVERY:
      return
    self._looked = now
    slots = np.flatnonzero(self._flows["is_open"])
    if slots.size:
      silent, active = self._deadlines(slots)
      self._end(slots[np.minimum(silent, active) < now])

  def _find_silent(self, now: int) -> None:
    """Finds open flows that pause by the capture's clock."""
    if self._pause == _NEVER:
      return
    slots = np.flatnonzero(self._flows["is_open"])
    flows = self._flows[slots]
    is_silent = now - flows["last_clock"] > self._pause
    slots = slots[is_silent & (flows["paused"] < flows["num_packets"])]
    counts = self._flows["num_packets"][slots]
    self._flows["paused"][slots] = counts
    self._pauses.append((slots, counts))

  def _expire_ahead(self, now: int) -> None:
    """Ends flows that had been silent for too long when the clock was set back."""
    slots = np.flatnonzero(self._flows["is_open"])
    if slots.size:
      last = self._flows["last_clock"][slots]
      silent, _ = self._deadlines(slots)
      self._end(slots[last - (silent - last) > now], EndReason.IDLE)

  def _deadlines(self, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When flows end if they stay silent, and when they end in any case."""
    is_tcp = has_tcp(self._flows["key"][slots])
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
    is_open = self._flows["is_open"]
    too_many = len(self._slots) > self._rules.max_open_flows
    if len(self._kept) > self._rules.max_open_packets:
      # Packets of ended flows are about to be dropped anyway.
      num_open = self._kept.counts(np.flatnonzero(is_open)).sum()
      too_many |= num_open > self._rules.max_open_packets
    if not too_many:
      return
    slots = np.flatnonzero(is_open)
    surplus = len(slots) - self._rules.max_open_flows
    few = max(surplus, 0) + min(len(slots), self._rules.max_open_flows) // 4
    # Flows of one packet first: a flood of SYNs leaves only such flows.
    since = self._flows["last_clock"][slots]
    since = since - np.where(self._flows["num_packets"][slots] > 1, 0, _NEVER)
    silent = np.argpartition(since, few)[: few + 1]
    self._end(slots[silent], EndReason.EVICTED)

  def _end(
    self,
    slots: np.ndarray,
    reason: EndReason | None = None,
    forget: bool = True,
    followed: np.ndarray | int = _NEVER,
  ) -> None:
    """Ends flows. The end reason is the flow's FIN or RST, else `reason`.

    Args:
      slots: the flows.
      reason: why they end; None = a time-out, or a new connection.
      forget: whether their five-tuples then have no open flow.
      followed: when the next flow of their five-tuples begins, ns.
    """
    if not slots.size:
      return
    if reason is None:
      silent, active = self._deadlines(slots)
      reason = np.where(silent <= active, EndReason.IDLE, EndReason.ACTIVE)
      is_tcp = has_tcp(self._flows["key"][slots])
      in_time = is_tcp & (np.minimum(silent, active) >= followed)
      reason = np.where(in_time, EndReason.NEW_CONNECTION, reason)
    closed = self._flows["closed"][slots]
    keys = self._flows["key"][slots]
    self._flows["end_reason"][slots] = np.where(closed != 0, closed, reason)
    self._flows["is_open"][slots] = False
    self._remember(slots)
    self._ended.append(slots)
    if forget:
      for name in _as_bytes(keys):
        del self._slots[name]
    self._count(slots)

  def _count(self, slots: np.ndarray) -> None:
    is_tcp = has_tcp(self._flows["key"][slots])
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
      more = np.zeros(max(size, missing), self._kind)
      self._flows = np.concatenate([self._flows, more])
      self._free = np.concatenate([self._free, np.arange(size, len(self._flows))])
    taken, self._free = self._free[:count], self._free[count:]
    return taken

  def _remember(self, slots: np.ndarray) -> None:
    # A table of fixed size: a newer five-tuple may replace an older one.
    tags = hashes(self._flows["key"][slots])
    places = _places(tags)
    client = self._flows["client_is_first"][slots].astype(np.uint64)
    self._clients[places] = tags & ~np.uint64(1) | client
    self._syns[places] = self._flows["syn"][slots]

  def _recall(self, keys: np.ndarray) -> "_Remembered":
    tags = hashes(keys)
    places = _places(tags)
    found = self._clients[places]
    is_there = (found ^ tags) <= 1
    syns = np.where(is_there, self._syns[places], NO_SYN)
    return _Remembered(is_there, found & np.uint64(1) == 1, syns)

  def _hand_out(self, slots: np.ndarray) -> Iterator[CapturedFlows]:
    slots = slots[np.argsort(self._flows["first_number"][slots])]
    for first in range(0, len(slots), _FLOWS_AT_ONCE):
      some = slots[first : first + _FLOWS_AT_ONCE]
      yield self._captured(self._flows[some], *self._kept.of(some))

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
    files, numbers = self._files.of(table["first_number"])
    flows = Flows(
      packets=packets,
      num_packets=table["num_packets"],
      durations=(table["last_time"] - table["first_time"]) / NANOSECONDS,
      num_bytes=table["num_bytes"],
      classes=np.full(len(table), UNKNOWN, np.int32),
      partitions=files.astype(np.int32),
      ids=np.array(
        [
          f"{self._files.names[file]}#{number}"
          for file, number in zip(files.tolist(), numbers.tolist(), strict=True)
        ]
      ),
      class_names=(),
      partition_names=tuple(self._files.names),
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
      starts_seen=self._starts_seen(table),
      carriers=self._carriers(table),
    )

  def _carriers(self, table: np.ndarray) -> np.ndarray:
    if not self._rules.inner:
      return np.zeros((len(table), 0), object)
    carrier = table["carrier"]
    first, second = (
      format_addresses(carrier[:, i : i + 2], carrier[:, 4]) for i in (0, 2)
    )
    is_client = table["client_is_first"]
    carriers = np.stack(
      [np.where(is_client, first, second), np.where(is_client, second, first)], axis=1
    )
    carriers[carrier[:, 4] == 0] = None
    return carriers

  def _starts_seen(self, table: np.ndarray) -> np.ndarray:
    """Whether the capture has each flow's first packet: 1, 0, or −1 if unknown."""
    # The start of a UDP flow only shows by the silence before it.
    begun = self._begun + self._udp_silence
    seen = np.where(table["first_clock"] > begun, 1, -1)
    return np.where(has_tcp(table["key"]), table["saw_syn"], seen).astype(np.int8)


class _Remembered(NamedTuple):
  """What is remembered of five-tuples from their earlier flows."""

  is_there: np.ndarray
  client_is_first: np.ndarray
  syns: np.ndarray


def _first_within(
  mask: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The first place in each stretch where the mask is true, and whether it exists."""
  places = np.append(np.flatnonzero(mask), len(mask))
  first = places[np.searchsorted(places, starts)]
  is_there = first < ends
  return np.where(is_there, first, 0), is_there


def _places(tags: np.ndarray) -> np.ndarray:
  return tags >> np.uint64(64 - _REMEMBERED.bit_length() + 1)


def _as_bytes(keys: np.ndarray) -> list[bytes]:
  return np.ascontiguousarray(keys).view(f"V{8 * KEY_WORDS}")[:, 0].tolist()


def _nanoseconds(seconds: float | None) -> int:
  return _NEVER if seconds is None else min(round(seconds * NANOSECONDS), _NEVER)
