"""Finds packets that carry other packets, and where the inner packets begin."""

import dataclasses

import numpy as np

from mtl_traffic.data.captures.accounts import Skipped
from mtl_traffic.data.captures.headers import (
  ETHERNET,
  IPV6,
  OTHER,
  PPP,
  RAW,
  UDP,
  Headers,
)
from mtl_traffic.data.captures.reading import gather

_IP_IN_IP, _IPV6_IN_IP, _GRE = 4, 41, 47
_MPLS = 0x8847
_BRIDGED, _ERSPAN, _ERSPAN_3 = 0x6558, 0x88BE, 0x22EB
_PPTP = 0x880B
_ETHERTYPES = {0x0800: RAW, 0x86DD: RAW, _BRIDGED: ETHERNET, _MPLS: _MPLS}
_GPE_PROTOCOLS = {1: RAW, 2: RAW, 3: ETHERNET, 4: 0x894F, 5: _MPLS}
_VXLAN, _VXLAN_GPE = (4789, 8472), (4790,)
_GENEVE, _GTP, _TEREDO, _L2TP = (6081,), (2152,), (3544,), (1701,)
_UDP_HEADER = 8
_PORTS = np.zeros(1 << 16, bool)
_PORTS[[*_VXLAN, *_VXLAN_GPE, *_GENEVE, *_GTP, *_TEREDO, *_L2TP]] = True
_MOST_EXTENSIONS = 8  # Extension headers of a GTP-U header.


@dataclasses.dataclass(frozen=True)
class Carried:
  """Inner packets of one kind of tunnel.

  Attributes:
    kind: the name of the tunnel.
    rows: `[k]` int64, the packets that carry them.
    starts: `[k]` int64, where the inner packets begin.
    follows: `[k]` int32, the kind of header that they begin with.
  """

  kind: str
  rows: np.ndarray
  starts: np.ndarray
  follows: np.ndarray


def find(headers: Headers) -> list[Carried]:
  """Finds the inner packets of packets whose ports, or IP protocol, have been read."""
  whole = ~headers.is_later_fragment
  others = np.flatnonzero(whole & (headers.skipped == Skipped.NOT_TCP_OR_UDP))
  found = []
  if others.size:
    protocols = headers.protocol[others]
    for kind, number in (("IP in IP", _IP_IN_IP), ("IPv6 in IP", _IPV6_IN_IP)):
      rows = others[protocols == number]
      found.append(_carried(kind, rows, headers.at[rows], np.full(len(rows), RAW)))
    found.append(_gre(headers, others[protocols == _GRE]))
  ports = headers.ports.astype(np.int64)
  at_port = _PORTS[ports[0]] | _PORTS[ports[1]]
  if at_port.any():
    rows = headers.rows(whole & at_port & (headers.protocol == UDP))
    for kind, numbers, read in (
      ("VXLAN", _VXLAN, _vxlan),
      ("VXLAN-GPE", _VXLAN_GPE, _vxlan_gpe),
      ("Geneve", _GENEVE, _geneve),
      ("GTP-U", _GTP, _gtp),
      ("Teredo", _TEREDO, _teredo),
      ("L2TP", _L2TP, _l2tp),
    ):
      some = rows[np.isin(ports[:, rows], numbers).any(axis=0)]
      found.append(_carried(kind, *read(headers, some)))
  return [each for each in found if each.rows.size]


def _carried(kind: str, rows, starts, follows) -> Carried:
  known = np.asarray(follows) != OTHER
  return Carried(kind, rows[known], starts[known], follows[known].astype(np.int32))


def _peek(
  headers: Headers, rows: np.ndarray, at: np.ndarray, dtype: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Reads values; returns the rows that have the bytes, their places and the values."""
  whole = at + np.dtype(dtype).itemsize <= headers.end[rows]
  rows, at = rows[whole], at[whole]
  return rows, at, gather(headers.raw.data, at, np.dtype(dtype)).astype(np.int64)


def _translate(values: np.ndarray, table: dict[int, int]) -> np.ndarray:
  meanings = [np.where(values == value, table[value], 0) for value in table]
  return np.where(np.isin(values, list(table)), np.sum(meanings, axis=0), OTHER)


def _gre(headers: Headers, rows: np.ndarray) -> Carried:
  rows, at, head = _peek(headers, rows, headers.at[rows], ">u4")
  flags, protocol = head >> 16, head & 0xFFFF
  has_sequence = flags & 0x1000 != 0
  size = 4 + 4 * (flags & 0x8000 != 0) + 4 * (flags & 0x2000 != 0) + 4 * has_sequence
  follows = _translate(protocol, _ETHERTYPES)
  is_erspan, is_erspan_3 = protocol == _ERSPAN, protocol == _ERSPAN_3
  follows[is_erspan | is_erspan_3] = ETHERNET
  size += 8 * (is_erspan & has_sequence) + 12 * is_erspan_3
  # Acknowledgements of PPTP have no sequence number and no content.
  is_pptp = flags & 0x07 == 1
  follows[is_pptp] = np.where(
    (protocol == _PPTP) & has_sequence & (flags & 0x2000 != 0), PPP, OTHER
  )[is_pptp]
  size += 4 * (is_pptp & (flags & 0x0080 != 0))
  follows[~is_pptp & (flags & 0x4007 != 0)] = OTHER  # Routed, or another version.
  return _carried("GRE", rows, at + size, follows)


def _vxlan(headers: Headers, rows: np.ndarray):
  rows, at, head = _peek(headers, rows, headers.at[rows] + _UDP_HEADER, ">u8")
  is_sound = (head >> 56 & 0x08 != 0) & (head & 0xFF == 0)
  return rows, at + 8, np.where(is_sound, ETHERNET, OTHER)


def _vxlan_gpe(headers: Headers, rows: np.ndarray):
  rows, at, head = _peek(headers, rows, headers.at[rows] + _UDP_HEADER, ">u8")
  has_protocol = head >> 56 & 0x04 != 0
  follows = _translate(head >> 32 & 0xFF, _GPE_PROTOCOLS)
  return rows, at + 8, np.where(has_protocol, follows, ETHERNET)


def _geneve(headers: Headers, rows: np.ndarray):
  rows, at, head = _peek(headers, rows, headers.at[rows] + _UDP_HEADER, ">u4")
  follows = _translate(head & 0xFFFF, _ETHERTYPES)
  follows[head >> 30 != 0] = OTHER  # Another version.
  return rows, at + 8 + 4 * (head >> 24 & 0x3F), follows


def _gtp(headers: Headers, rows: np.ndarray):
  rows, at, head = _peek(headers, rows, headers.at[rows] + _UDP_HEADER, ">u2")
  carries = (head >> 12 == 3) & (head & 0xFF == 0xFF)  # Version 1 with user data.
  rows, at, flags = rows[carries], at[carries], head[carries] >> 8
  at = at + np.where(flags & 0x07 != 0, 12, 8)
  # The last of the optional bytes says whether an extension header follows.
  is_extended = flags & 0x04 != 0
  for _ in range(_MOST_EXTENSIONS):
    extended = np.flatnonzero(is_extended)
    if not extended.size:
      break
    data, end = headers.raw.data, headers.end[rows[extended]]
    is_cut = at[extended] >= end
    places = np.minimum(at[extended], len(data) - 1)
    kind = data[places - 1]
    size = 4 * data[places].astype(np.int64)
    goes_on = (kind != 0) & (size > 0) & ~is_cut
    at[extended[goes_on]] += size[goes_on]
    is_extended[extended[~goes_on]] = False
  return rows, at, np.full(len(rows), RAW)


def _teredo(headers: Headers, rows: np.ndarray):
  at = headers.at[rows] + _UDP_HEADER
  rows, at, head = _peek(headers, rows, at, ">u4")
  has_key = head >> 16 == 1
  lengths = (head >> 8 & 0xFF) + (head & 0xFF)
  rows, at, head = _peek(headers, rows, at + np.where(has_key, 13 + lengths, 0), ">u4")
  at = at + np.where(head >> 16 == 0, 8, 0)  # Skips the origin indication.
  rows, at, head = _peek(headers, rows, at, ">u8")
  fits = (head >> 16 & 0xFFFF) <= headers.end[rows] - at
  return rows, at, np.where((head >> 60 & 0x0F == 6) & fits, IPV6, OTHER)


def _l2tp(headers: Headers, rows: np.ndarray):
  at = headers.at[rows] + _UDP_HEADER
  rows, at, flags = _peek(headers, rows, at, ">u2")
  carries = (flags & 0x8000 == 0) & (flags & 0x0F == 2)
  rows, at, flags = rows[carries], at[carries], flags[carries]
  at = at + 6 + 2 * (flags & 0x4000 != 0) + 4 * (flags & 0x0800 != 0)
  has_offset = flags & 0x0200 != 0
  offset = np.zeros(len(rows), np.int64)
  some, _, value = _peek(headers, rows[has_offset], at[has_offset], ">u2")
  offset[np.isin(rows, some)] = 2 + value
  return rows, at + offset, np.full(len(rows), PPP)
