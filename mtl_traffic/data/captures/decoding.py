"""Decodes the headers of a batch of packets, from the link layer to the ports.

Headers are read one layer at a time, for all packets that have it. A packet's length is
taken from its IP header, so neither a snap length nor Ethernet's padding changes it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mtl_traffic.data.captures import links, tunnels
from mtl_traffic.data.captures.accounts import Accounts, Skipped
from mtl_traffic.data.captures.fragments import Fragments
from mtl_traffic.data.captures.headers import KEY_WORDS, TCP, Headers
from mtl_traffic.data.captures.reading import RawPackets, gather

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_MOST_TUNNELS = 4  # Nested in each other.
_SOUND = (Skipped.NO, Skipped.NOT_TCP_OR_UDP, Skipped.FRAGMENT)
_SAMPLE = 2048  # Packets of a batch whose contents are hashed.
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True)
class Packets:
  """A batch of m TCP and UDP packets, as columns.

  Attributes:
    numbers: `[m]` int64, number in the capture, from 1.
    times: `[m]` int64, ns since 1970.
    lengths: `[m]` int64, bytes of the IP packet or of the payload.
    keys: `[m, 5]` uint64, the five-tuple, equal for both directions of a flow.
    from_first: `[m]` bool, whether the sender is the first of the key's endpoints.
    flags: `[m]` uint8, TCP flags.
    sequences: `[m]` uint32, TCP sequence numbers.
    acknowledged: `[m]` uint32, TCP acknowledgement numbers.
    contents: `[m]` uint64, a hash that is equal for copies of a packet; 0 if it was not
      computed.
    carriers: `[m, 5]` uint64, addresses and IP version of the outermost packet around
      each, in the order of the key's endpoints; zeros outside tunnels. `[m, 0]` if not
      asked for.
  """

  numbers: np.ndarray
  times: np.ndarray
  lengths: np.ndarray
  keys: np.ndarray
  from_first: np.ndarray
  flags: np.ndarray
  sequences: np.ndarray
  acknowledged: np.ndarray
  contents: np.ndarray
  carriers: np.ndarray

  @property
  def is_syn(self) -> np.ndarray:
    """`[m]` bool: whether a packet asks for a TCP connection."""
    return self.flags & (SYN | ACK | RST) == SYN

  def part(self, packets: slice | np.ndarray) -> "Packets":
    """Selects some of the packets."""
    return Packets(
      *(getattr(self, field.name)[packets] for field in dataclasses.fields(self))
    )

  @staticmethod
  def concatenate(batches: Sequence["Packets"]) -> "Packets":
    """Joins the packets of one or more batches."""
    if len(batches) == 1:
      return batches[0]
    return Packets(
      *(
        np.concatenate([getattr(batch, field.name) for batch in batches])
        for field in dataclasses.fields(Packets)
      )
    )


class Decoder:
  """Decodes the batches of one capture; remembers fragmented packets between them."""

  def __init__(
    self,
    accounts: Accounts,
    payload_lengths: bool = False,
    all_contents: bool = False,
    inner: bool = False,
  ):
    """Args:
    accounts: where skipped packets are counted.
    payload_lengths: whether lengths are of the TCP or UDP payload rather than of the
      IP packet.
    all_contents: whether to hash the contents of all packets, not only of a sample.
    inner: whether to decode the innermost packet of a tunnel.
    """
    self._accounts = accounts
    self._payload_lengths = payload_lengths
    self._fragments = Fragments()
    self._inner = inner
    self._looked_at = None if all_contents else _SAMPLE

  def decode(self, raw: RawPackets) -> Packets:
    """Returns the TCP and UDP packets of a batch; counts the others by cause."""
    headers = Headers(raw)
    links.find_ip(headers, raw.link_types)
    self._read_ip(headers)
    for each in tunnels.find(headers):
      self._accounts.tunnels[each.kind] += len(each.rows)
      if self._inner:
        self._go_inside(headers, each, _MOST_TUNNELS)
    headers.count_skipped(self._accounts)
    return _packets(headers, self._payload_lengths, self._looked_at, self._inner)

  def _read_ip(self, headers: Headers) -> None:
    headers.read_ipv4()
    headers.read_ipv6()
    headers.read_ports()
    headers.look_up_fragments(self._fragments)

  def _go_inside(self, outer: Headers, carried: tunnels.Carried, depth: int) -> None:
    """Replaces tunnel packets by the innermost packets that they carry."""
    inner = Headers(outer.raw.within(carried.rows, carried.starts, outer.end))
    inner.follows[:] = carried.follows
    links.find_ip(inner, None)
    self._read_ip(inner)
    if depth > 1:
      for each in tunnels.find(inner):
        self._go_inside(inner, each, depth - 1)
    # If the content is not a packet, the outer packet was not a tunnel.
    is_one = np.isin(inner.skipped, _SOUND)
    outer.take_over(carried.rows[is_one], inner, np.flatnonzero(is_one))


def _packets(
  headers: Headers, payload_lengths: bool, looked_at: int | None, inner: bool
) -> Packets:
  """The decoded packets, with keys that are equal in both directions.

  Args:
    payload_lengths: see `Decoder`.
    looked_at: of how many packets to hash the contents; by default of all.
    inner: whether to fill in `carriers`.
  """
  rows = np.flatnonzero(headers.skipped == Skipped.NO)
  source_high, source_low, target_high, target_low = headers.addresses[:, rows]
  source_port, target_port = headers.ports[:, rows]
  from_first = (source_high < target_high) | (
    (source_high == target_high)
    & (
      (source_low < target_low)
      | ((source_low == target_low) & (source_port <= target_port))
    )
  )
  keys = np.empty((len(rows), KEY_WORDS), np.uint64)
  keys[:, 0] = np.where(from_first, source_high, target_high)
  keys[:, 1] = np.where(from_first, source_low, target_low)
  keys[:, 2] = np.where(from_first, target_high, source_high)
  keys[:, 3] = np.where(from_first, target_low, source_low)
  first_port = np.where(from_first, source_port, target_port)
  second_port = np.where(from_first, target_port, source_port)
  keys[:, 4] = (
    first_port << np.uint64(32)
    | second_port << np.uint64(16)
    | headers.protocol[rows].astype(np.uint64) << np.uint64(8)
    | headers.version[rows]
  )
  lengths = np.maximum(headers.payload, 0) if payload_lengths else headers.ip_length
  return Packets(
    numbers=headers.raw.numbers[rows],
    times=headers.raw.times[rows],
    lengths=lengths[rows],
    keys=keys,
    from_first=from_first,
    flags=headers.flags[rows],
    sequences=headers.sequences[rows],
    acknowledged=headers.acknowledged[rows],
    contents=_contents(headers, rows, looked_at),
    carriers=_carriers(headers, rows, from_first, inner),
  )


def _carriers(
  headers: Headers, rows: np.ndarray, from_first: np.ndarray, inner: bool
) -> np.ndarray:
  if not inner:
    return np.zeros((len(rows), 0), np.uint64)
  if headers.carriers is None:
    return np.zeros((len(rows), KEY_WORDS), np.uint64)
  carriers = headers.carriers[rows]
  carriers[~from_first] = carriers[~from_first][:, [2, 3, 0, 1, 4]]
  return carriers


def _contents(headers: Headers, rows: np.ndarray, looked_at: int | None) -> np.ndarray:
  contents = np.zeros(len(rows), np.uint64)
  rows = rows[:looked_at]
  # Fragments are left out: their bytes may fit several packets.
  numbers = headers.sequences[rows].astype(np.uint64) << np.uint64(32)
  numbers |= headers.acknowledged[rows]
  marks = headers.ip_id[rows].astype(np.uint64) << np.uint64(40)
  marks |= headers.ip_length[rows].astype(np.uint64) << np.uint64(8)
  marks |= headers.flags[rows]
  # Checksum and urgent pointer of TCP, checksum of UDP, and where there is more.
  start = headers.at[rows] + np.where(headers.protocol[rows] == TCP, 16, 6)
  some = np.flatnonzero(start + 8 <= headers.end[rows])
  marks[some] ^= gather(headers.raw.data, start[some], "<u8").reshape(-1) * _MIX
  mixed = (numbers * _MIX ^ marks) * _MIX
  contents[: len(rows)] = mixed | np.uint64(2)  # So that it is not 0.
  return contents
