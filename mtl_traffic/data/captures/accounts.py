"""What became of a capture's packets: none is dropped without being counted."""

import collections
import dataclasses
import enum


class Skipped(enum.IntEnum):
  """Why a packet is in no flow; 0 is a packet that is in one."""

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


SKIPPED_NAMES = {
  Skipped.DAMAGED: "damaged record",
  Skipped.NO_TIME: "no time, or one that cannot be",
  Skipped.LINK_TYPE: "unknown link type",
  Skipped.NOT_IP: "not IP",
  Skipped.NOT_TCP_OR_UDP: "IP, but not TCP or UDP",
  Skipped.FRAGMENT: "fragment whose first part is missing",
  Skipped.CUT: "cut before the ports",
  Skipped.MALFORMED: "malformed header",
  Skipped.COPY: "copy of a packet just before",
  Skipped.OTHER_SHARD: "of another shard",
  Skipped.WORKER: "of a worker that died",
}


@dataclasses.dataclass
class Accounts:
  """The books of one capture, or of several added up.

  Attributes:
    num_packets: packets read from the capture; those in flows plus those skipped.
    num_in_flows: packets that belong to a flow.
    skipped: packets in no flow, by cause (a name in `SKIPPED_NAMES`).
    num_lost: packets of an interface that came faster than they were read; these are
      not among the others.
    kinds_skipped: those of them that a number names, by cause and name.
    tunnels: packets that carry others, by kind of tunnel.
    num_reordered: packets in flows that were put before ones that stood before them.
    num_late: those that came too late for that.
    num_wrong_times: packets with an impossible time, which got the time of the packet
    before.
    num_jumps: how often time made a jump that cannot be.
    num_wrong_lengths: packets whose length on the wire cannot be, so that what was
      captured counts.
    num_copies: packets that are copies of one just before,
    num_looked_at: of so many that were looked at.
    flows: flows that ended, by (protocol, end reason).
    labelled: flows that got a label, by class.
    label_lines: flows that a row of the labels fits, by its line.
    contradictions: flows without a label as two rows contradict each other, by lines.
    warnings: one line for each thing that is wrong with a capture.
    notices: one line for each thing that is odd, though all could be read.
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
    """Counts packets that no flow gets, and what they are if that is known."""
    if num_packets:
      self.skipped[SKIPPED_NAMES[cause]] += num_packets
      if what:
        self.kinds_skipped[SKIPPED_NAMES[cause], what] += num_packets

  def add(self, other: "Accounts") -> None:
    """Adds the books of another capture to these."""
    for field in dataclasses.fields(self):
      mine, others = getattr(self, field.name), getattr(other, field.name)
      if isinstance(mine, collections.Counter):
        mine.update(others)
      elif isinstance(mine, list):
        mine.extend(others)
      else:
        setattr(self, field.name, mine + others)

  def summary(self, separator: str = "\n") -> str:
    """What became of the packets, a line each."""
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
          ("of a time that cannot be, so given another", self.num_wrong_times),
          ("of a length that cannot be, so cut", self.num_wrong_lengths),
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
