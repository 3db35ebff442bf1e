"""Decodes the headers of a batch of packets, from the link layer to the ports.

Headers are read a layer at a time for all packets that have it. A packet's length is
what its IP header says, so neither a snap length nor Ethernet's padding changes it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts, Skipped
from mtl_traffic.data.captures.fragments import Fragments
from mtl_traffic.data.captures.reading import RawPackets, gather

TCP, UDP = 6, 17
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
# Words of a key: two addresses of two words each, then ports, protocol and IP version.
KEY_WORDS = 5

_SAMPLE = 2048  # Packets of a batch whose contents are looked at.
_MIX = np.uint64(0x9E3779B97F4A7C15)

_MAX_LAYERS = 16  # VLAN tags, MPLS labels or IPv6 extension headers of one packet.

# What follows: an EtherType, or one of these for what has none.
_IPV4, _IPV6 = 0x0800, 0x86DD
_ETHERNET, _LLC, _PPP, _RAW, _OTHER = -1, -2, -3, -4, -5
_VLAN = (0x8100, 0x88A8, 0x9100, 0x9200)
_MPLS = (0x8847, 0x8848)
_PPPOE = 0x8864
_LOWEST_ETHERTYPE = 0x0600  # Below, the field is the length of an 802.3 frame.
_LLC_SNAP = 0xAAAA
_PPP_PROTOCOLS = {0x0021: _IPV4, 0x0057: _IPV6, 0x0281: _MPLS[0], 0x0283: _MPLS[1]}
_PPP_IN_HDLC = 0xFF03

# Link type → (bytes before what follows, what follows, or where its EtherType is).
_LINK_TYPES = {
  1: (14, 12),  # Ethernet
  104: (4, 2),  # Cisco HDLC
  113: (16, 14),  # Linux cooked
  276: (20, 0),  # Linux cooked, version 2
}
_LINK_TYPES_WITHOUT_HEADER = {
  9: _PPP,
  50: _PPP,
  12: _RAW,
  14: _RAW,
  101: _RAW,
  228: _IPV4,
  229: _IPV6,
}
_LOOPBACK = (0, 108)
# An address family is in the byte order of the capturing host, whichever that was.
_FAMILIES = {2: _IPV4, 10: _IPV6, 24: _IPV6, 28: _IPV6, 30: _IPV6}

_IPV4_HEADER = np.dtype(
  [
    ("version", "u1"),
    ("service", "u1"),
    ("length", ">u2"),
    ("id", ">u2"),
    ("fragment", ">u2"),
    ("ttl", "u1"),
    ("protocol", "u1"),
    ("checksum", ">u2"),
    ("source", ">u4"),
    ("destination", ">u4"),
  ]
)
_IPV6_HEADER = np.dtype(
  [
    ("version", "u1"),
    ("label", "V3"),
    ("length", ">u2"),
    ("next", "u1"),
    ("hops", "u1"),
    ("source", ">u8", 2),
    ("destination", ">u8", 2),
  ]
)
_EXTENSION = np.dtype([("next", "u1"), ("length", "u1")])
_FRAGMENT_HEADER = np.dtype([("next", "u1"), ("", "u1"), ("at", ">u2"), ("id", ">u4")])
_PORTS = np.dtype([("source", ">u2"), ("destination", ">u2")])
_TCP_HEADER = np.dtype(
  [
    ("ports", "V4"),
    ("sequence", ">u4"),
    ("acknowledged", ">u4"),
    ("offset", "u1"),
    ("flags", "u1"),
  ]
)
_AUTHENTICATION, _FRAGMENT = 51, 44
_EXTENSIONS = (0, 43, 60, 135, 139, 140, _AUTHENTICATION, _FRAGMENT)


@dataclasses.dataclass(frozen=True)
class Packets:
  """A batch of m TCP and UDP packets, as columns.

  Attributes:
    numbers: `[m]` int64, place in the capture, from 1.
    times: `[m]` int64, ns since 1970.
    lengths: `[m]` int64, bytes, of the IP packet or of the payload.
    keys: `[m, 5]` uint64, the five-tuple; both directions of a flow have the same.
    from_first: `[m]` bool, whether the sender is the first of the key's endpoints.
    flags: `[m]` uint8, of TCP.
    sequences: `[m]` uint32, the sequence number of TCP.
    acknowledged: `[m]` uint32, the acknowledgement number of TCP.
    contents: `[m]` uint64, a hash of what copies of a packet have in common; 0 where
      nobody looked.
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

  @property
  def is_syn(self) -> np.ndarray:
    """`[m]` bool: whether a packet asks for a TCP connection."""
    return self.flags & (SYN | ACK | RST) == SYN

  def part(self, packets: slice | np.ndarray) -> "Packets":
    """Some of the packets."""
    return Packets(
      *(getattr(self, field.name)[packets] for field in dataclasses.fields(self))
    )

  @staticmethod
  def concatenate(batches: Sequence["Packets"]) -> "Packets":
    """The packets of batches, one after another; there is at least one."""
    if len(batches) == 1:
      return batches[0]
    return Packets(
      *(
        np.concatenate([getattr(batch, field.name) for batch in batches])
        for field in dataclasses.fields(Packets)
      )
    )


class Decoder:
  """Decodes batches of one capture; remembers fragmented packets in between."""

  def __init__(
    self, accounts: Accounts, payload_lengths: bool = False, all_contents: bool = False
  ):
    """Args:
    accounts: where packets that are skipped are counted.
    payload_lengths: lengths are those of the payload of TCP or UDP rather than of
      the IP packet.
    all_contents: look at what all packets contain, rather than some of each batch.
    """
    self._accounts = accounts
    self._payload_lengths = payload_lengths
    self._fragments = Fragments()
    self._looked_at = None if all_contents else _SAMPLE

  def decode(self, raw: RawPackets) -> Packets:
    """The TCP and UDP packets of a batch; the others are counted by cause."""
    headers = _Headers(raw)
    headers.find_ip()
    headers.read_ipv4()
    headers.read_ipv6()
    headers.read_ports()
    headers.look_up_fragments(self._fragments)
    for cause, count in enumerate(np.bincount(headers.skipped)):
      if cause != Skipped.NO:
        self._accounts.skip(Skipped(cause), int(count))
    return headers.packets(self._payload_lengths, self._looked_at)


class _Headers:
  """How far the packets of one batch have been decoded.

  Methods work on rows, the indices of the packets that they concern.
  """

  def __init__(self, raw: RawPackets):
    n = len(raw.times)
    self.raw = raw
    self.skipped = np.zeros(n, np.uint8)
    self.at = raw.offsets.copy()  # The first byte that is not decoded yet.
    self.end = raw.offsets + raw.captured  # Of what can be read.
    self.follows = np.full(n, _OTHER, np.int32)  # What kind of header is there.
    self.ip_at = np.zeros(n, np.int64)
    self.ip_length = np.zeros(n, np.int64)
    self.version = np.zeros(n, np.uint64)
    self.protocol = np.zeros(n, np.int64)
    self.addresses = np.zeros((4, n), np.uint64)
    self.ports = np.zeros((2, n), np.uint64)
    self.flags = np.zeros(n, np.uint8)
    self.sequences = np.zeros(n, np.uint32)
    self.acknowledged = np.zeros(n, np.uint32)
    self.payload = np.zeros(n, np.int64)
    self.is_later_fragment = np.zeros(n, bool)
    self.fragment_id = np.full(n, -1, np.int64)
    self.ip_id = np.zeros(n, np.uint16)

  def skip(self, rows: np.ndarray, cause: Skipped) -> None:
    self.skipped[rows] = cause

  def rows(self, mask: np.ndarray) -> np.ndarray:
    return np.flatnonzero(mask & (self.skipped == Skipped.NO))

  def read(
    self, rows: np.ndarray, dtype, ahead: int = 0
  ) -> tuple[np.ndarray, np.ndarray]:
    """The rows that have the bytes of `dtype` at the cursor, and their values.

    The others are skipped as cut.
    """
    dtype = np.dtype(dtype)
    start = self.at[rows] + ahead
    whole = start + dtype.itemsize <= self.end[rows]
    if not whole.all():
      self.skip(rows[~whole], Skipped.CUT)
      rows, start = rows[whole], start[whole]
    return rows, gather(self.raw.data, start, dtype)

  def go_on(self, rows: np.ndarray, num_bytes, follows) -> None:
    self.at[rows] += num_bytes
    self.follows[rows] = follows

  def find_ip(self) -> None:
    """Takes off everything in front of the IP header."""
    for link_type in _distinct(self.raw.link_types):
      self._read_link(link_type, np.flatnonzero(self.raw.link_types == link_type))
    for _ in range(_MAX_LAYERS):
      wrapped = (self.follows != _IPV4) & (self.follows != _IPV6)
      rows = self.rows(wrapped)
      if not rows.size:
        break
      for kind in _distinct(self.follows[rows]):
        self._unwrap(kind, rows[self.follows[rows] == kind])
    else:
      wrapped = (self.follows != _IPV4) & (self.follows != _IPV6)
      self.skip(self.rows(wrapped), Skipped.MALFORMED)

  def _read_link(self, link_type: int, rows: np.ndarray) -> None:
    if link_type in _LINK_TYPES:
      size, type_at = _LINK_TYPES[link_type]
      self._follow_ethertype(rows, size, type_at)
    elif link_type in _LINK_TYPES_WITHOUT_HEADER:
      self.go_on(rows, 0, _LINK_TYPES_WITHOUT_HEADER[link_type])
    elif link_type in _LOOPBACK:
      rows, family = self.read(rows, ">u4")
      family = np.minimum(family.astype(np.uint32), family.astype(np.uint32).byteswap())
      self.go_on(rows, 4, _translate(family, _FAMILIES))
    else:
      self.skip(rows, Skipped.LINK_TYPE)

  def _follow_ethertype(self, rows: np.ndarray, size: int, type_at: int) -> None:
    rows, kind = self.read(rows, ">u2", ahead=type_at)
    kind = kind.astype(np.int32)
    self.go_on(rows, size, np.where(kind < _LOWEST_ETHERTYPE, _LLC, kind))

  def _unwrap(self, kind: int, rows: np.ndarray) -> None:
    if kind in _VLAN:
      self._follow_ethertype(rows, 4, 2)
    elif kind in _MPLS:
      rows, label = self.read(rows, ">u4")
      is_last = (label >> 8) & 1 == 1
      self.go_on(rows, 4, np.where(is_last, _RAW, kind))
    elif kind == _RAW:
      rows, first = self.read(rows, "u1")
      self.go_on(rows, 0, _translate(first >> 4, {4: _IPV4, 6: _IPV6}))
    elif kind == _PPPOE:
      self.go_on(rows, 6, _PPP)
    elif kind == _PPP:
      self._unwrap_ppp(rows)
    elif kind == _LLC:
      rows, service = self.read(rows, ">u2")
      is_snap = service == _LLC_SNAP
      self.skip(rows[~is_snap], Skipped.NOT_IP)
      self._follow_ethertype(rows[is_snap], 8, 6)
    else:
      self.skip(rows, Skipped.NOT_IP)

  def _unwrap_ppp(self, rows: np.ndarray) -> None:
    rows, start = self.read(rows, ">u2")
    framed = rows[start == _PPP_IN_HDLC]
    self.at[framed] += 2
    rows, first = self.read(rows, "u1")
    is_short = first & 1 == 1  # A protocol's last byte, and only that, is odd.
    self.go_on(rows[is_short], 1, _translate(first[is_short], _PPP_PROTOCOLS))
    rows, protocol = self.read(rows[~is_short], ">u2")
    self.go_on(rows, 2, _translate(protocol, _PPP_PROTOCOLS))

  def read_ipv4(self) -> None:
    rows, header = self.read(self.rows(self.follows == _IPV4), _IPV4_HEADER)
    header_length = (header["version"] & 0x0F).astype(np.int64) * 4
    length = self._ip_length(rows, header["length"].astype(np.int64))
    bad = (
      (header["version"] >> 4 != 4) | (header_length < 20) | (length < header_length)
    )
    if bad.any():
      self.skip(rows[bad], Skipped.MALFORMED)
      rows, header, length = rows[~bad], header[~bad], length[~bad]
      header_length = header_length[~bad]
    self.version[rows] = 4
    self.protocol[rows] = header["protocol"]
    self.ip_id[rows] = header["id"]
    self.addresses[1, rows] = header["source"]
    self.addresses[3, rows] = header["destination"]
    self._begin_payload(rows, length, header_length)
    fragment = header["fragment"]
    self._note_fragments(
      rows, fragment & 0x1FFF != 0, fragment & 0x2000 != 0, header["id"]
    )

  def read_ipv6(self) -> None:
    rows, header = self.read(self.rows(self.follows == _IPV6), _IPV6_HEADER)
    if not rows.size:
      return
    bad = header["version"] >> 4 != 6
    self.skip(rows[bad], Skipped.MALFORMED)
    rows, header = rows[~bad], header[~bad]
    payload = header["length"].astype(np.int64)
    length = self._ip_length(rows, np.where(payload > 0, payload + 40, 0))
    bad = length < 40
    self.skip(rows[bad], Skipped.MALFORMED)
    rows, header, length = rows[~bad], header[~bad], length[~bad]
    self.version[rows] = 6
    self.protocol[rows] = header["next"]
    self.addresses[0:2, rows] = header["source"].T
    self.addresses[2:4, rows] = header["destination"].T
    self._begin_payload(rows, length, 40)
    for _ in range(_MAX_LAYERS):
      rows = self.rows(
        (self.version == 6)
        & np.isin(self.protocol, _EXTENSIONS)
        & ~self.is_later_fragment
      )
      if not rows.size:
        return
      self._read_extension(rows)
    self.skip(rows, Skipped.MALFORMED)

  def _read_extension(self, rows: np.ndarray) -> None:
    is_fragment = self.protocol[rows] == _FRAGMENT
    fragments, header = self.read(rows[is_fragment], _FRAGMENT_HEADER)
    self.protocol[fragments] = header["next"]
    self.at[fragments] += 8
    offset = header["at"]
    self._note_fragments(fragments, offset >> 3 != 0, offset & 1 != 0, header["id"])

    others, header = self.read(rows[~is_fragment], _EXTENSION)
    length = header["length"].astype(np.int64)
    authentication = self.protocol[others] == _AUTHENTICATION
    self.at[others] += np.where(authentication, 4 * (length + 2), 8 * (length + 1))
    self.protocol[others] = header["next"]

  def _ip_length(self, rows: np.ndarray, length: np.ndarray) -> np.ndarray:
    # A length of zero is what a host records that leaves cutting up to its network
    # card; the captured frame then holds the packet and nothing else.
    on_wire = self.raw.offsets[rows] + self.raw.lengths[rows] - self.at[rows]
    return np.where(length > 0, length, on_wire)

  def _begin_payload(self, rows: np.ndarray, length: np.ndarray, header) -> None:
    self.ip_at[rows] = self.at[rows]
    self.ip_length[rows] = length
    self.at[rows] += header

  def _note_fragments(
    self, rows: np.ndarray, is_later: np.ndarray, has_more: np.ndarray, ids: np.ndarray
  ) -> None:
    part = is_later | has_more
    self.fragment_id[rows[part]] = ids[part]
    self.is_later_fragment[rows] = is_later

  def read_ports(self) -> None:
    """Reads the start of TCP and UDP headers."""
    is_transport = (self.protocol == TCP) | (self.protocol == UDP)
    # Behind an IPv6 fragment header that another extension follows in the first part.
    is_transport |= (
      self.is_later_fragment & (self.version == 6) & np.isin(self.protocol, _EXTENSIONS)
    )
    self.skip(self.rows(~is_transport), Skipped.NOT_TCP_OR_UDP)
    ip_end = self.ip_at + self.ip_length
    self.payload = np.maximum(ip_end - self.at, 0)
    rows = self.rows(~self.is_later_fragment)
    too_short = self.payload[rows] < _PORTS.itemsize
    self.skip(rows[too_short], Skipped.MALFORMED)
    np.minimum(self.end, ip_end, out=self.end)  # Padding is not part of the packet.
    rows, ports = self.read(rows[~too_short], _PORTS)
    self.ports[0, rows] = ports["source"]
    self.ports[1, rows] = ports["destination"]
    is_tcp = self.protocol[rows] == TCP
    self.payload[rows[~is_tcp]] -= 8
    # All stay zero if a snap length cut them off.
    tcp = rows[is_tcp]
    tcp = tcp[self.at[tcp] + _TCP_HEADER.itemsize <= self.end[tcp]]
    header = gather(self.raw.data, self.at[tcp], _TCP_HEADER)
    self.payload[tcp] -= (header["offset"] >> 4).astype(np.int64) * 4
    self.flags[tcp] = header["flags"]
    self.sequences[tcp] = header["sequence"]
    self.acknowledged[tcp] = header["acknowledged"]

  def look_up_fragments(self, fragments: Fragments) -> None:
    """Gives later fragments the ports of the first, in the order of the capture."""
    for row in self.rows(self.fragment_id >= 0):
      packet = (
        int(self.version[row]),
        int(self.protocol[row]) if self.version[row] == 4 else 0,
        self.addresses[:, row].tobytes(),
        int(self.fragment_id[row]),
      )
      time = int(self.raw.times[row])
      if not self.is_later_fragment[row]:
        known = (self.protocol[row], self.ports[:, row].copy())
        fragments.begin(packet, time, known)
        continue
      found = fragments.find(packet, time)
      if found is None:
        self.skipped[row] = Skipped.FRAGMENT
      else:
        self.protocol[row], self.ports[:, row] = found

  def packets(self, payload_lengths: bool, looked_at: int | None) -> Packets:
    """What is left, with keys that are the same in both directions.

    Args:
      payload_lengths: see `Decoder`.
      looked_at: of how many to look at the contents; of all by default.
    """
    rows = np.flatnonzero(self.skipped == Skipped.NO)
    source_high, source_low, target_high, target_low = self.addresses[:, rows]
    source_port, target_port = self.ports[:, rows]
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
      | self.protocol[rows].astype(np.uint64) << np.uint64(8)
      | self.version[rows]
    )
    lengths = np.maximum(self.payload, 0) if payload_lengths else self.ip_length
    return Packets(
      numbers=self.raw.numbers[rows],
      times=self.raw.times[rows],
      lengths=lengths[rows],
      keys=keys,
      from_first=from_first,
      flags=self.flags[rows],
      sequences=self.sequences[rows],
      acknowledged=self.acknowledged[rows],
      contents=self._contents(rows, looked_at),
    )

  def _contents(self, rows: np.ndarray, looked_at: int | None) -> np.ndarray:
    contents = np.zeros(len(rows), np.uint64)
    rows = rows[:looked_at]
    # A fragment's bytes stand for more packets than one.
    numbers = self.sequences[rows].astype(np.uint64) << np.uint64(32)
    numbers |= self.acknowledged[rows]
    marks = self.ip_id[rows].astype(np.uint64) << np.uint64(40)
    marks |= self.ip_length[rows].astype(np.uint64) << np.uint64(8)
    marks |= self.flags[rows]
    # Checksum and urgent pointer of TCP, checksum of UDP, and where there is more.
    start = self.at[rows] + np.where(self.protocol[rows] == TCP, 16, 6)
    some = np.flatnonzero(start + 8 <= self.end[rows])
    marks[some] ^= gather(self.raw.data, start[some], "<u8").reshape(-1) * _MIX
    mixed = (numbers * _MIX ^ marks) * _MIX
    contents[: len(rows)] = mixed | np.uint64(2)  # So that it is not 0.
    return contents


def _translate(values: np.ndarray, table: dict[int, int]) -> np.ndarray:
  """What the table says for each value; `_OTHER` if it says nothing."""
  translated = np.full(len(values), _OTHER, np.int32)
  for value, meaning in table.items():
    translated[values == value] = meaning
  return translated


def _distinct(values: np.ndarray) -> list[int]:
  """The values that occur, ascending; mostly there is one."""
  if len(values) and (values == values[0]).all():
    return [int(values[0])]
  return np.unique(values).tolist()
