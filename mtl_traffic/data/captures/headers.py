"""The state of a batch of packets while its headers are read, layer by layer."""

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts, Skipped
from mtl_traffic.data.captures.fragments import Fragments
from mtl_traffic.data.captures.reading import RawPackets, gather
from mtl_traffic.data.captures.registries import Registry, describe

TCP, UDP = 6, 17
# Words of a key: two addresses of two words each, then ports, protocol and IP version.
KEY_WORDS = 5
MAX_LAYERS = 16  # VLAN tags, MPLS labels or IPv6 extension headers of one packet.

# The next header: an EtherType, or one of these for headers that have none.
IPV4, IPV6 = 0x0800, 0x86DD
ETHERNET, LLC, PPP, RAW, MPLS_PAYLOAD, OTHER = -1, -2, -3, -4, -5, -6

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


# The fields that describe the packet itself, not its outer layers.
_OF_A_PACKET = (
  *("at", "end", "skipped", "details", "ip_length", "version", "protocol"),
  *("addresses", "ports", "flags", "sequences", "acknowledged", "payload", "ip_id"),
)


class Headers:
  """The decoding state of the packets of one batch.

  Methods take rows: indices of packets.
  """

  def __init__(self, raw: RawPackets):
    n = len(raw.times)
    self.raw = raw
    self.skipped = np.zeros(n, np.uint8)
    self.details = np.zeros(n, np.int64)  # Protocol if skipped: registry and number.
    self.at = raw.offsets.copy()  # The first byte that is not decoded yet.
    self.end = raw.offsets + raw.captured  # The end of the readable bytes.
    self.follows = np.full(n, OTHER, np.int32)  # The kind of header at `at`.
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
    # `[n, 5]`: addresses and version of the outermost packet around each, if wanted.
    self.carriers: np.ndarray | None = None

  def skip(
    self,
    rows: np.ndarray,
    cause: Skipped,
    registry: Registry | None = None,
    numbers: np.ndarray | int = 0,
  ) -> None:
    """Skips packets for a cause; notes their number in a registry if there is one."""
    self.skipped[rows] = cause
    self.details[rows] = 0 if registry is None else (registry << 32) + numbers

  def take_over(self, rows: np.ndarray, inner: "Headers", some: np.ndarray) -> None:
    """Copies the state of `some` inner packets to the packets that carry them."""
    if self.carriers is None:
      self.carriers = np.zeros((len(self.skipped), KEY_WORDS), np.uint64)
    self.carriers[rows, :4] = self.addresses[:, rows].T
    self.carriers[rows, 4] = self.version[rows]
    for name in _OF_A_PACKET:
      getattr(self, name)[..., rows] = getattr(inner, name)[..., some]

  def count_skipped(self, accounts: Accounts) -> None:
    """Counts skipped packets by cause and protocol."""
    rows = np.flatnonzero(self.skipped != Skipped.NO)
    if not rows.size:
      return
    kinds = np.stack([self.skipped[rows], self.details[rows]], axis=1)
    kinds, counts = np.unique(kinds, axis=0, return_counts=True)
    for (cause, detail), count in zip(kinds.tolist(), counts.tolist(), strict=True):
      name = describe(detail >> 32, detail & 0xFFFFFFFF) if detail else None
      accounts.skip(Skipped(cause), count, name)

  def rows(self, mask: np.ndarray) -> np.ndarray:
    return np.flatnonzero(mask & (self.skipped == Skipped.NO))

  def is_wrapped(self) -> np.ndarray:
    """The packets whose IP header has not been reached yet."""
    return (self.follows != IPV4) & (self.follows != IPV6)

  def read(
    self, rows: np.ndarray, dtype, ahead: int = 0
  ) -> tuple[np.ndarray, np.ndarray]:
    """Reads a `dtype` at the cursor; returns the rows that have its bytes, and values.

    The other rows are skipped as cut.
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

  def read_ipv4(self) -> None:
    rows, header = self.read(self.rows(self.follows == IPV4), _IPV4_HEADER)
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
    rows, header = self.read(self.rows(self.follows == IPV6), _IPV6_HEADER)
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
    for _ in range(MAX_LAYERS):
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
    # A host that leaves segmentation to its network card records a length of zero. The
    # captured frame then holds the packet and nothing else.
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
    # Later IPv6 fragments whose first part has a further extension header.
    is_transport |= (
      self.is_later_fragment & (self.version == 6) & np.isin(self.protocol, _EXTENSIONS)
    )
    others = self.rows(~is_transport)
    if others.size:
      numbers = self.protocol[others]
      self.skip(others, Skipped.NOT_TCP_OR_UDP, Registry.PROTOCOL, numbers)
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
    # These stay zero if a snap length cut them off.
    tcp = rows[is_tcp]
    tcp = tcp[self.at[tcp] + _TCP_HEADER.itemsize <= self.end[tcp]]
    header = gather(self.raw.data, self.at[tcp], _TCP_HEADER)
    self.payload[tcp] -= (header["offset"] >> 4).astype(np.int64) * 4
    self.flags[tcp] = header["flags"]
    self.sequences[tcp] = header["sequence"]
    self.acknowledged[tcp] = header["acknowledged"]

  def look_up_fragments(self, fragments: Fragments) -> None:
    """Gives later fragments the ports of their first one, in the capture's order."""
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
