"""Names of protocol numbers, for the counts of skipped packets."""

import enum


class Registry(enum.IntEnum):
  """The registry that a number belongs to."""

  ETHERTYPE = enum.auto()
  LLC = enum.auto()
  PPP = enum.auto()
  LINK_TYPE = enum.auto()
  PROTOCOL = enum.auto()


_FORMS = {
  Registry.ETHERTYPE: "EtherType 0x{:04x}",
  Registry.LLC: "LLC 0x{:04x}",
  Registry.PPP: "PPP protocol 0x{:04x}",
  Registry.LINK_TYPE: "link type {}",
  Registry.PROTOCOL: "IP protocol {}",
}
_NAMES = {
  Registry.ETHERTYPE: {
    0x0806: "ARP",
    0x0842: "Wake-on-LAN",
    0x22F0: "AVTP",
    0x22F3: "TRILL",
    0x6003: "DECnet",
    0x8035: "RARP",
    0x809B: "AppleTalk",
    0x80F3: "AppleTalk ARP",
    0x8137: "IPX",
    0x8808: "flow control",
    0x8809: "LACP",
    0x8847: "MPLS",
    0x8863: "PPPoE discovery",
    0x887B: "HomePlug",
    0x888E: "EAPOL",
    0x8892: "PROFINET",
    0x88A4: "EtherCAT",
    0x88B8: "GOOSE",
    0x88BA: "sampled values",
    0x88CC: "LLDP",
    0x88E1: "HomePlug AV",
    0x88E5: "MACsec, encrypted",
    0x88F7: "PTP",
    0x8902: "CFM",
    0x8906: "FCoE",
    0x8915: "RoCE",
    0x9000: "loopback test",
  },
  Registry.LLC: {0x4242: "STP", 0xE0E0: "IPX", 0xF0F0: "NetBIOS", 0xFEFE: "ISO"},
  Registry.PPP: {
    0x00FD: "compressed",
    0x0053: "encrypted",
    0x8021: "IPCP",
    0x8057: "IPv6CP",
    0x80FD: "CCP",
    0xC021: "LCP",
    0xC023: "PAP",
    0xC223: "CHAP",
  },
  Registry.LINK_TYPE: {
    7: "ARCNET",
    147: "private use",
    187: "Bluetooth HCI",
    189: "USB",
    195: "IEEE 802.15.4",
    201: "Bluetooth HCI",
    215: "IEEE 802.15.4",
    220: "USB",
    227: "CAN",
    230: "IEEE 802.15.4",
    247: "InfiniBand",
    248: "SCTP",
    249: "USB",
    251: "Bluetooth LE",
    252: "Wireshark's upper layers",
    253: "netlink",
    256: "Bluetooth LE",
    272: "Bluetooth LE",
    283: "IEEE 802.15.4",
  },
  Registry.PROTOCOL: {
    0: "hop-by-hop options",
    1: "ICMP",
    2: "IGMP",
    4: "IPv4",
    33: "DCCP",
    41: "IPv6",
    46: "RSVP",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    59: "no next header",
    88: "EIGRP",
    89: "OSPF",
    97: "EtherIP",
    103: "PIM",
    108: "IPComp",
    112: "VRRP",
    115: "L2TP",
    132: "SCTP",
    136: "UDP-Lite",
    137: "MPLS",
  },
}


def describe(registry: int, number: int) -> str:
  """A number and its name if known, as in `EtherType 0x0806 (ARP)`."""
  registry = Registry(registry)
  text = _FORMS[registry].format(number)
  name = _NAMES[registry].get(number)
  return f"{text} ({name})" if name else text
