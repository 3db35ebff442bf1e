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


SKIPPED_NAMES = {
  Skipped.DAMAGED: "damaged record",
  Skipped.NO_TIME: "no time, or one that cannot be",
  Skipped.LINK_TYPE: "unknown link type",
  Skipped.NOT_IP: "not IP",
  Skipped.NOT_TCP_OR_UDP: "IP, but not TCP or UDP",
  Skipped.FRAGMENT: "fragment whose first part is missing",
  Skipped.CUT: "cut before the ports",
  Skipped.MALFORMED: "malformed header",
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
    num_late: packets in flows whose time is before that of an earlier packet.
    flows: flows that ended, by (protocol, end reason).
    warnings: one line for each thing that is wrong with a capture.
  """

  num_packets: int = 0
  num_in_flows: int = 0
  num_lost: int = 0
  skipped: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  num_late: int = 0
  flows: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  warnings: list[str] = dataclasses.field(default_factory=list)

  @property
  def num_flows(self) -> int:
    return sum(self.flows.values())

  def skip(self, cause: Skipped, num_packets: int = 1) -> None:
    """Counts packets that no flow gets."""
    if num_packets:
      self.skipped[SKIPPED_NAMES[cause]] += num_packets

  def add(self, other: "Accounts") -> None:
    """Adds the books of another capture to these."""
    self.num_packets += other.num_packets
    self.num_in_flows += other.num_in_flows
    self.num_lost += other.num_lost
    self.skipped.update(other.skipped)
    self.num_late += other.num_late
    self.flows.update(other.flows)
    self.warnings.extend(other.warnings)

  def summary(self, separator: str = "\n") -> str:
    """What became of the packets, a line each."""
    lines = [
      f"packets: {self.num_packets}",
      *[f"  lost, beside these: {self.num_lost}"] * (self.num_lost > 0),
      f"  in flows: {self.num_in_flows}",
      *(f"  skipped, {cause}: {n}" for cause, n in self.skipped.most_common()),
      f"  in flows, but earlier than a packet before: {self.num_late}",
      f"flows: {self.num_flows}",
      *(
        f"  {protocol}, ended by {reason}: {n}"
        for (protocol, reason), n in sorted(self.flows.items())
      ),
    ]
    return separator.join(lines)
