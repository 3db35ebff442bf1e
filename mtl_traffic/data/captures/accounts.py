"""Counts a capture's packets and flows; no packet is dropped without being counted."""

import collections
import dataclasses
import enum
from collections.abc import Mapping


class Skipped(enum.IntEnum):
  """Why a packet was skipped; 0 = it was not."""

  NO = 0
  DAMAGED = enum.auto()
  NO_TIME = enum.auto()
  LINK_TYPE = enum.auto()
  NOT_IP = enum.auto()
  NOT_TCP_OR_UDP = enum.auto()
  FRAGMENT = enum.auto()
  CUT = enum.auto()
  MALFORMED = enum.auto()
  COPY = enum.auto()
  OTHER_SHARD = enum.auto()
  WORKER = enum.auto()
  INTERRUPTED = enum.auto()


SKIPPED_NAMES = {
  Skipped.DAMAGED: "damaged record",
  Skipped.NO_TIME: "no time, or an impossible one",
  Skipped.LINK_TYPE: "unknown link type",
  Skipped.NOT_IP: "not IP",
  Skipped.NOT_TCP_OR_UDP: "IP, but not TCP or UDP",
  Skipped.FRAGMENT: "fragment whose first part is missing",
  Skipped.CUT: "cut before the ports",
  Skipped.MALFORMED: "malformed header",
  Skipped.COPY: "copy of a packet just before",
  Skipped.OTHER_SHARD: "of another shard",
  Skipped.WORKER: "of a worker that died",
  Skipped.INTERRUPTED: "still to be put in order when interrupted",
}


@dataclasses.dataclass
class Accounts:
  """The counts of one capture, or of several added up.

  Attributes:
    num_packets: packets read from the capture, num_in_flows plus all skipped.
    num_in_flows: packets that belong to a flow.
    skipped: packets that belong to no flow, by cause (a name in `SKIPPED_NAMES`).
    num_lost: packets of an interface that came faster than they were read. They are not
      part of num_packets.
    kinds_skipped: skipped packets whose protocol has a name, by cause and name.
    tunnels: packets that carry others, by kind of tunnel.
    num_reordered: packets in flows that were moved before earlier packets.
    num_late: packets in flows that came too late to be moved.
    num_wrong_times: packets with an impossible time; they got the time of the previous
      packet.
    num_jumps: how often time made an impossible jump.
    num_wrong_lengths: packets whose length on the wire is impossible; their captured
      length is used instead.
    num_copies: packets that are copies of one just before.
    num_looked_at: packets that were checked for copies.
    flows: flows that ended, by (protocol, end reason).
    labelled: flows that got a label, by class.
    label_lines: flows that each row of the labels matches, by the row's line.
    contradictions: flows without a label because two rows contradict each other, by the
      rows' lines.
    warnings: one line for each error in a capture.
    notices: one line for each oddity that did not prevent reading.
  """

  num_packets: int = 0
  num_in_flows: int = 0
  num_lost: int = 0
  skipped: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  kinds_skipped: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  tunnels: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  num_reordered: int = 0
  num_late: int = 0
  num_wrong_times: int = 0
  num_jumps: int = 0
  num_wrong_lengths: int = 0
  num_copies: int = 0
  num_looked_at: int = 0
  flows: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  labelled: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  label_lines: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  contradictions: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  warnings: list[str] = dataclasses.field(default_factory=list)
  notices: list[str] = dataclasses.field(default_factory=list)

  @property
  def num_flows(self) -> int:
    return sum(self.flows.values())

  def skip(self, cause: Skipped, num_packets: int = 1, what: str | None = None) -> None:
    """Counts skipped packets, and the name of their protocol if it is known."""
    if num_packets:
      self.skipped[SKIPPED_NAMES[cause]] += num_packets
      if what:
        self.kinds_skipped[SKIPPED_NAMES[cause], what] += num_packets

  def add(self, other: "Accounts") -> None:
    """Adds the counts of another capture."""
    for field in dataclasses.fields(self):
      mine, others = getattr(self, field.name), getattr(other, field.name)
      if isinstance(mine, collections.Counter):
        mine.update(others)
      elif isinstance(mine, list):
        mine.extend(others)
      else:
        setattr(self, field.name, mine + others)

  def as_json(self) -> dict[str, object]:
    """The counts in the types of JSON."""
    return {
      name: list(value.items()) if isinstance(value, collections.Counter) else value
      for name, value in vars(self).items()
    }

  @classmethod
  def from_json(cls, values: Mapping[str, object]) -> "Accounts":
    """The counts of which `as_json` made this, perhaps by way of a file."""
    accounts = cls(**values)
    for name, value in vars(cls()).items():
      if isinstance(value, collections.Counter):
        # JSON has no tuples.
        counts = {
          tuple(key) if isinstance(key, list) else key: n for key, n in values[name]
        }
        setattr(accounts, name, collections.Counter(counts))
    return accounts

  def summary(self, separator: str = "\n") -> str:
    """The counts as text, one per line."""
    lines = [
      f"packets: {self.num_packets}",
      *[f"  lost, beside these: {self.num_lost}"] * (self.num_lost > 0),
      f"  in flows: {self.num_in_flows}",
      *(
        line
        for cause, n in self.skipped.most_common()
        for line in (f"  skipped, {cause}: {n}", *self._kinds_of(cause))
      ),
      *(
        f"  {what}: {n}"
        for what, n in (
          *((f"in tunnels, {kind}", n) for kind, n in self.tunnels.most_common()),
          ("captured out of order", self.num_reordered),
          ("captured too late to be put in order", self.num_late),
          ("with an impossible time, so given another", self.num_wrong_times),
          ("with an impossible length, so cut", self.num_wrong_lengths),
        )
        if n
      ),
      f"flows: {self.num_flows}",
      *(
        f"  {protocol}, ended by {reason}: {n}"
        for (protocol, reason), n in sorted(self.flows.items())
      ),
    ]
    return separator.join(lines)

  def _kinds_of(self, cause: str) -> list[str]:
    kinds = self.kinds_skipped.most_common()
    return [f"    {what}: {n}" for (of, what), n in kinds if of == cause]
