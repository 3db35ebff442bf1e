"""Removes what precedes the IP header: link layers, tags and wrappers."""

import numpy as np

from mtl_traffic.data.captures.accounts import Skipped
from mtl_traffic.data.captures.headers import (
  ETHERNET,
  IPV4,
  IPV6,
  LLC,
  MAX_LAYERS,
  MPLS_PAYLOAD,
  OTHER,
  PPP,
  RAW,
  Headers,
)
from mtl_traffic.data.captures.registries import Registry

# Tag → (length, offset of the next EtherType), both counted from after its EtherType.
_TAGS = {
  0x8100: (4, 2),  # VLAN
  0x88A8: (4, 2),
  0x9100: (4, 2),
  0x9200: (4, 2),
  0x8926: (6, 4),  # VN-Tag
  0x893F: (8, 6),  # E-Tag
}
_MPLS = (0x8847, 0x8848)
_PPPOE, _PBB, _NSH, _MACSEC = 0x8864, 0x88E7, 0x894F, 0x88E5
_LOWEST_ETHERTYPE = 0x0600  # Below, the field is the length of an 802.3 frame.
_LLC_SNAP = 0xAAAA
_PPP_PROTOCOLS = {0x0021: IPV4, 0x0057: IPV6, 0x0281: _MPLS[0], 0x0283: _MPLS[1]}
_PPP_IN_HDLC = 0xFF03
_CISCO_HDLC = (0x0F00, 0x8F00)
_NSH_PROTOCOLS = {1: IPV4, 2: IPV6, 3: ETHERNET, 4: _NSH, 5: _MPLS[0]}

# Link type → (length of its header, offset of the EtherType).
_LINK_TYPES = {
  1: (14, 12),  # Ethernet
  104: (4, 2),  # Cisco HDLC
  113: (16, 14),  # Linux cooked
  138: (18, 16),  # IP over IEEE 1394
  276: (20, 0),  # Linux cooked, version 2
}
# Link type → (length of its header, next header).
_FIXED = {
  9: (0, PPP),
  50: (0, PPP),
  51: (0, _PPPOE),
  10: (13, LLC),  # FDDI
  122: (16, LLC),  # IP over Fibre Channel
  12: (0, RAW),
  14: (0, RAW),
  101: (0, RAW),
  228: (0, IPV4),
  229: (0, IPV6),
  274: (8, ETHERNET),  # With its preamble
}
_LOOPBACK = (0, 108)
_ENCAPSULATION = 109
# Address families are in the byte order of the capturing host, which is unknown.
_FAMILIES = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}
_NFLOG, _NFLOG_PAYLOAD = 239, 9
_PKTAP, _PPI = 258, 192
_WIFI, _RADIOTAP = 105, 127
_WIFI_DATA, _WIFI_TYPE = 0x08, 0x0C
_MOST_FIELDS = 32  # Fields of an NFLOG packet.


def find_ip(headers: Headers, link_types: np.ndarray | None) -> None:
  """Removes everything in front of the IP header.

  Args:
    headers: the packets. Packets without an IP header are skipped.
    link_types: `[n]`, the link types; if None, `headers.follows` is used instead.
  """
  if link_types is not None:
    for link_type in distinct(link_types):
      _read_link(headers, link_type, np.flatnonzero(link_types == link_type))
  for _ in range(MAX_LAYERS):
    rows = headers.rows(headers.is_wrapped())
    if not rows.size:
      return
    for kind in distinct(headers.follows[rows]):
      _unwrap(headers, kind, rows[headers.follows[rows] == kind])
  headers.skip(headers.rows(headers.is_wrapped()), Skipped.MALFORMED)


def distinct(values: np.ndarray) -> list[int]:
  """The distinct values, ascending; fast if there is only one."""
  if len(values) and (values == values[0]).all():
    return [int(values[0])]
  return np.unique(values).tolist()


def _read_link(
  headers: Headers, link_type: int, rows: np.ndarray, is_inner: bool = False
) -> None:
  if link_type in _LINK_TYPES:
    _follow_ethertype(headers, rows, *_LINK_TYPES[link_type])
  elif link_type in _FIXED:
    headers.go_on(rows, *_FIXED[link_type])
  elif link_type in _LOOPBACK:
    _read_family(headers, rows, 4)
  elif link_type == _ENCAPSULATION:
    _read_family(headers, rows, 12)
  elif link_type == _RADIOTAP:
    rows, size = headers.read(rows, "<u2", ahead=2)
    headers.at[rows] += size
    _read_wifi(headers, rows)
  elif link_type == _WIFI:
    _read_wifi(headers, rows)
  elif link_type == _NFLOG:
    _read_nflog(headers, rows)
  elif link_type in (_PKTAP, _PPI) and not is_inner:
    is_pktap = link_type == _PKTAP
    rows, inner = headers.read(rows, "<u4", ahead=8 if is_pktap else 4)
    rows, size = headers.read(rows, "<u2", ahead=0 if is_pktap else 2)
    inner = inner[: len(rows)]
    headers.at[rows] += size
    for kind in distinct(inner):
      _read_link(headers, kind, rows[inner == kind], is_inner=True)
  else:
    headers.skip(rows, Skipped.LINK_TYPE, Registry.LINK_TYPE, link_type)


def _read_family(headers: Headers, rows: np.ndarray, size: int) -> None:
  rows, family = headers.read(rows, ">u4")
  family = np.minimum(family.astype(np.uint32), family.astype(np.uint32).byteswap())
  headers.go_on(rows, size, translate(family, _FAMILIES))


def _read_wifi(headers: Headers, rows: np.ndarray) -> None:
  """Reads IEEE 802.11 data frames that are neither encrypted nor aggregated."""
  rows, control = headers.read(rows, "<u2")
  control = control.astype(np.int64)
  has_data = (control & _WIFI_TYPE == _WIFI_DATA) & (control & 0x40 == 0)
  is_open = has_data & (control & 0x4000 == 0)
  headers.skip(rows[~is_open], Skipped.NOT_IP)
  rows, control = rows[is_open], control[is_open]
  is_qos = control & 0x80 != 0
  size = 24 + 6 * (control & 0x300 == 0x300) + 2 * is_qos
  size += 4 * (is_qos & (control & 0x8000 != 0))
  headers.go_on(rows, size, LLC)


def _read_nflog(headers: Headers, rows: np.ndarray) -> None:
  rows, _ = headers.read(rows, "V4")
  headers.at[rows] += 4
  for _ in range(_MOST_FIELDS):
    rows, field = headers.read(rows, "<u4")
    size, kind = field & 0xFFFF, field >> 16 & 0x7FFF
    is_payload = kind == _NFLOG_PAYLOAD
    headers.go_on(rows[is_payload], 4, RAW)
    is_bad = ~is_payload & (size < 4)
    headers.skip(rows[is_bad], Skipped.MALFORMED)
    goes_on = ~is_payload & ~is_bad
    rows, size = rows[goes_on], size[goes_on].astype(np.int64)
    headers.at[rows] += size + -size % 4
  headers.skip(rows, Skipped.MALFORMED)


def _follow_ethertype(
  headers: Headers, rows: np.ndarray, size: int | np.ndarray, type_at
) -> None:
  rows, kind = headers.read(rows, ">u2", ahead=type_at)
  kind = kind.astype(np.int32)
  headers.go_on(rows, size, np.where(kind < _LOWEST_ETHERTYPE, LLC, kind))


def _unwrap(headers: Headers, kind: int, rows: np.ndarray) -> None:
  if kind in _TAGS:
    _follow_ethertype(headers, rows, *_TAGS[kind])
  elif kind == ETHERNET:
    _follow_ethertype(headers, rows, 14, 12)
  elif kind in _MPLS:
    rows, label = headers.read(rows, ">u4")
    is_last = (label >> 8) & 1 == 1
    headers.go_on(rows, 4, np.where(is_last, MPLS_PAYLOAD, kind))
  elif kind in (RAW, MPLS_PAYLOAD):
    _unwrap_by_version(headers, kind, rows)
  elif kind == _PPPOE:
    headers.go_on(rows, 6, PPP)
  elif kind == PPP:
    _unwrap_ppp(headers, rows)
  elif kind == LLC:
    rows, service = headers.read(rows, ">u2")
    is_snap = service == _LLC_SNAP
    headers.skip(
      rows[~is_snap], Skipped.NOT_IP, Registry.LLC, service[~is_snap].astype(np.int64)
    )
    _follow_ethertype(headers, rows[is_snap], 8, 6)
  elif kind == _PBB:
    headers.go_on(rows, 4, ETHERNET)
  elif kind == _NSH:
    rows, base = headers.read(rows, ">u4")
    size = (base >> 16 & 0x3F).astype(np.int64) * 4
    headers.go_on(rows, np.maximum(size, 4), translate(base & 0xFF, _NSH_PROTOCOLS))
  elif kind == _MACSEC:
    _unwrap_macsec(headers, rows)
  elif kind > 0:
    headers.skip(rows, Skipped.NOT_IP, Registry.ETHERTYPE, kind)
  else:
    headers.skip(rows, Skipped.NOT_IP)


def _unwrap_by_version(headers: Headers, kind: int, rows: np.ndarray) -> None:
  rows, first = headers.read(rows, "u1")
  follows = translate(first >> 4, {4: IPV4, 6: IPV6})
  if kind == MPLS_PAYLOAD:
    # The control word of a pseudowire begins with zeros.
    is_wire = first >> 4 == 0
    headers.go_on(rows[is_wire], 4, ETHERNET)
    rows, follows = rows[~is_wire], follows[~is_wire]
  headers.go_on(rows, 0, follows)


def _unwrap_macsec(headers: Headers, rows: np.ndarray) -> None:
  rows, tag = headers.read(rows, "u1")
  is_plain = tag & 0x0C == 0
  headers.skip(rows[~is_plain], Skipped.NOT_IP, Registry.ETHERTYPE, _MACSEC)
  for has_channel in (False, True):
    size = 14 if has_channel else 6
    some = rows[is_plain & ((tag & 0x20 != 0) == has_channel)]
    _follow_ethertype(headers, some, size + 2, size)


def _unwrap_ppp(headers: Headers, rows: np.ndarray) -> None:
  rows, start = headers.read(rows, ">u2")
  is_cisco = np.isin(start, _CISCO_HDLC)
  _follow_ethertype(headers, rows[is_cisco], 4, 2)
  framed = rows[start == _PPP_IN_HDLC]
  headers.at[framed] += 2
  rows, first = headers.read(rows[~is_cisco], "u1")
  is_short = first & 1 == 1  # Only the last byte of a protocol number is odd.
  _follow_ppp(headers, rows[is_short], 1, first[is_short])
  rows, protocol = headers.read(rows[~is_short], ">u2")
  _follow_ppp(headers, rows, 2, protocol)


def _follow_ppp(
  headers: Headers, rows: np.ndarray, size: int, protocol: np.ndarray
) -> None:
  follows = translate(protocol, _PPP_PROTOCOLS)
  headers.go_on(rows, size, follows)
  other = follows == OTHER
  headers.skip(
    rows[other], Skipped.NOT_IP, Registry.PPP, protocol[other].astype(np.int64)
  )


def translate(values: np.ndarray, table: dict[int, int]) -> np.ndarray:
  """Looks each value up in the table; `OTHER` if it is missing."""
  translated = np.full(len(values), OTHER, np.int32)
  for value, meaning in table.items():
    translated[values == value] = meaning
  return translated
