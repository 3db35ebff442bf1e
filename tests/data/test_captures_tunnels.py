"""Tests of tunnels and wrappers, on packets that Scapy makes."""

import struct

import pytest

from mtl_traffic.data import captures
from mtl_traffic.data.captures.assembly import Rules
from mtl_traffic.data.captures.extraction import extract
from mtl_traffic.data.captures.labels import Labels
from tests.data import capture_files as files

pytest.importorskip("scapy", reason="needs Scapy, of the test extra")

import pyarrow.parquet as pq
from scapy.all import IP, TCP, UDP
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import (
  GTP_U_Header,
  GTPPDUSessionContainer,
)
from scapy.contrib.macsec import MACsec
from scapy.contrib.mpls import MPLS
from scapy.contrib.nsh import NSH
from scapy.layers.dot11 import Dot11, Dot11QoS, RadioTap
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, LLC, SNAP, Dot1Q, Ether
from scapy.layers.l2tp import L2TP
from scapy.layers.ppp import HDLC, PPP
from scapy.layers.vxlan import VXLAN

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
OUTER = IP(src="192.0.2.1", dst="192.0.2.2")
OUTER6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
V4 = IP(src="10.0.0.1", dst="10.0.0.2")
V6 = IPv6(src="fd00::1", dst="fd00::2")
DATA = UDP(sport=1000, dport=53) / bytes(12)
FRAME = ETHER / V4 / DATA
FLOW = (("10.0.0.1", 1000), ("10.0.0.2", 53), 40)
FLOW6 = (("fd00::1", 1000), ("fd00::2", 53), 60)


def decode(*packets, link_type=files.ETHERNET, inner=False, **kwargs):
  timed = [(i * files.SECOND, bytes(packet)) for i, packet in enumerate(packets)]
  flows, accounts = files.flows_of(
    files.pcap(timed, link_type, **kwargs), Rules(inner=inner)
  )
  return [(f["client"], f["server"], f["num_bytes"]) for f in flows], accounts


PPTP = struct.pack(">HHHHI", 0x3001, 0x880B, 44, 7, 1)
TUNNELS = [
  ("IP in IP", OUTER / V4 / DATA, FLOW),
  ("IP in IP", OUTER6 / V4 / DATA, FLOW),
  ("IPv6 in IP", OUTER / V6 / DATA, FLOW6),
  ("GRE", OUTER / GRE() / V4 / DATA, FLOW),
  ("GRE", OUTER / GRE(key_present=1, seqnum_present=1) / V6 / DATA, FLOW6),
  ("GRE", OUTER / GRE(chksum_present=1, proto=0x6558) / ETHER / V4 / DATA, FLOW),
  ("GRE", OUTER / GRE(proto=0x8847) / MPLS(label=3, s=1) / V4 / DATA, FLOW),
  ("GRE", OUTER / GRE(seqnum_present=1, proto=0x88BE) / ERSPAN_II() / FRAME, FLOW),
  ("GRE", OUTER / GRE(proto=0x88BE) / ETHER / V4 / DATA, FLOW),
  ("GRE", OUTER / GRE(seqnum_present=1, proto=0x22EB) / ERSPAN_III() / FRAME, FLOW),
  ("GRE", IP(proto=47, src="192.0.2.1", dst="192.0.2.2")
   / (PPTP + b"\xff\x03\0\x21" + bytes(V4 / DATA)), FLOW),
  ("VXLAN", OUTER / UDP(sport=5, dport=4789) / VXLAN(vni=7) / ETHER / V4 / DATA, FLOW),
  ("VXLAN", OUTER / UDP(sport=5, dport=8472) / VXLAN(vni=7) / ETHER / Dot1Q(vlan=3) / V6
   / DATA, FLOW6),
  ("VXLAN-GPE", OUTER / UDP(sport=5, dport=4790)
   / (b"\x0c\0\0\x01\0\0\x07\0" + bytes(V4 / DATA)), FLOW),
  ("Geneve", OUTER / UDP(sport=5, dport=6081) / GENEVE(vni=7) / FRAME, FLOW),
  ("Geneve", OUTER / UDP(sport=5, dport=6081)
   / (b"\x02\0\x08\0\0\0\x07\0" + bytes(8) + bytes(V4 / DATA)), FLOW),
  ("GTP-U", OUTER / UDP(sport=2152, dport=2152) / GTP_U_Header() / V4 / DATA, FLOW),
  ("GTP-U", OUTER / UDP(sport=2152, dport=2152) / GTP_U_Header(E=1, next_ex=0x85)
   / GTPPDUSessionContainer(QFI=1) / V4 / DATA, FLOW),
  ("Teredo", OUTER / UDP(sport=3544, dport=9999) / V6 / DATA, FLOW6),
  ("Teredo", OUTER / UDP(sport=3544, dport=9999)
   / (b"\0\1\0\0" + bytes(9) + b"\0\0" + bytes(6) + bytes(V6 / DATA)), FLOW6),
  ("L2TP", OUTER / UDP(sport=1701, dport=1701) / L2TP() / HDLC() / PPP() / V4 / DATA,
   FLOW),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "packet", "flow"), TUNNELS)
def test_the_innermost_packet(kind, packet, flow):
  flows, accounts = decode(ETHER / packet, inner=True)
  assert flows == [flow]
  assert accounts.tunnels == {kind: 1} and not accounts.skipped


@pytest.mark.parametrize(("kind", "packet", "flow"), TUNNELS)
def test_the_outer_packet_by_default_and_a_word_on_it(kind, packet, flow):
  flows, accounts = decode(ETHER / packet)
  has_ports = UDP in packet and packet[1].name == "UDP"
  assert [f[0][0] for f in flows] == ["192.0.2.1"] * has_ports
  assert accounts.tunnels == {kind: 1}
  assert f"in tunnels, {kind}: 1" in accounts.summary()


def test_tunnels_in_tunnels():
  packet = ETHER / OUTER / GRE() / OUTER6 / UDP(sport=5, dport=4789) / VXLAN() / ETHER
  flows, accounts = decode(packet / V4 / DATA, inner=True)
  assert flows == [FLOW]
  assert accounts.tunnels == {"GRE": 1}


def test_both_directions_are_one_flow_with_outer_addresses(tmp_path):
  there = ETHER / OUTER / GRE() / V4 / DATA
  back = (
    ETHER / IP(src="192.0.2.2", dst="192.0.2.1") / GRE()
    / IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=53, dport=1000) / bytes(30)
  )  # fmt: skip
  plain = ETHER / IP(src="10.0.0.1", dst="10.0.0.3") / DATA
  path, out = tmp_path / "a.pcap", tmp_path / "flows.parquet"
  packets = [(i * files.SECOND, bytes(p)) for i, p in enumerate((there, back, plain))]
  path.write_bytes(files.pcap(packets, files.ETHERNET))
  extract([path], out, Labels(), Rules(inner=True))
  table = pq.read_table(out)
  assert table["num_pkts"].to_pylist() == [2, 1]
  assert table["outer_client_address"].to_pylist() == ["192.0.2.1", None]
  assert table["outer_server_address"].to_pylist() == ["192.0.2.2", None]
  extract([path], out, Labels(), captures.Rules())
  assert "outer_client_address" not in pq.read_schema(out).names


def test_what_only_looks_like_a_tunnel_stays_what_it_is():
  for payload in (bytes(60), b"\x08" + bytes(7) + bytes(40), b"\x30\xff" + bytes(50)):
    for port in (4789, 6081, 2152, 3544, 1701):
      packet = ETHER / V4 / UDP(sport=1000, dport=port) / payload
      flows, accounts = decode(packet, inner=True)
      assert flows == [(("10.0.0.1", 1000), ("10.0.0.2", port), 28 + len(payload))]
      assert not accounts.skipped


def test_what_a_tunnel_carries_beside_tcp_and_udp_is_skipped():
  flows, accounts = decode(ETHER / OUTER / GRE() / V4 / ICMP(), inner=True)
  assert not flows
  assert dict(accounts.kinds_skipped) == {
    ("IP, but not TCP or UDP", "IP protocol 1 (ICMP)"): 1
  }


def test_a_tunnel_cut_by_the_snap_length():
  packet = ETHER / OUTER / UDP(sport=5, dport=4789) / VXLAN() / ETHER / V4 / DATA
  whole = bytes(packet)
  for size in range(len(whole)):
    flows, accounts = decode(whole, inner=True, snap_length=size)
    assert len(flows) + sum(accounts.skipped.values()) == 1


def tagged(ethertype, tag):
  """An Ethernet frame with a tag of this kind in front of the data's EtherType."""
  return bytes(ETHER)[:12] + struct.pack(">H", ethertype) + tag


PLAIN = bytes(V4 / DATA)
WIFI_DATA = LLC() / SNAP(code=0x800) / V4 / DATA
WIFI = Dot11(type=2, subtype=0, FCfield=1) / WIFI_DATA
QOS = Dot11(type=2, subtype=8, FCfield=2) / Dot11QoS() / WIFI_DATA


WRAPPED = [
  (1, tagged(0x8926, b"\0\0\0\1\x08\0" + PLAIN)),
  (1, tagged(0x893F, bytes(6) + b"\x08\0" + PLAIN)),
  (1, tagged(0x88E7, b"\0\0\0\1" + bytes(ETHER / V4 / DATA))),
  (1, ETHER / NSH(mdtype=1, nextproto=1) / V4 / DATA),
  (1, ETHER / MACsec(SC=1, SCI=b"\0" * 8, PN=1, type=0x800) / V4 / DATA),
  (1, ETHER / MPLS(label=5, s=1) / (bytes(4) + bytes(ETHER / V4 / DATA))),
  (50, b"\x0f\0\x08\0" + PLAIN),
  (51, b"\x11\0\0\1\0\x2a\0\x21" + PLAIN),
  (239, b"\2\0\0\0" + b"\5\0\x0a\0x\0\0\0" + struct.pack("<HH", 44, 9) + PLAIN),
  (258, struct.pack("<III", 108, 1, 101) + bytes(96) + PLAIN),
  (192, struct.pack("<BBHI", 0, 0, 8, 1) + bytes(ETHER / V4 / DATA)),
  (105, WIFI),
  (105, QOS),
  (127, RadioTap() / WIFI),
  (109, struct.pack("<III", 2, 1, 0) + PLAIN),
  (274, b"\x55" * 7 + b"\xd5" + bytes(ETHER / V4 / DATA)),
]


@pytest.mark.parametrize(("link_type", "packet"), WRAPPED)
def test_wrappers_and_link_types(link_type, packet):
  flows, accounts = decode(packet, link_type=link_type)
  assert flows == [FLOW] and not accounts.skipped


@pytest.mark.parametrize(
  ("link_type", "packet", "what"),
  [
    (195, b"?" * 20, "link type 195 (IEEE 802.15.4)"),
    (299, b"?" * 20, "link type 299"),
    (1, ETHER / ARP(), "EtherType 0x0806 (ARP)"),
    (1, Ether(type=0x1234) / bytes(40), "EtherType 0x1234"),
    (1, ETHER / V4 / ICMP(), "IP protocol 1 (ICMP)"),
    (9, PPP(proto=0xC021) / bytes(8), "PPP protocol 0xc021 (LCP)"),
    (1, tagged(0x88E5, b"\x0c\0" + bytes(60)), "EtherType 0x88e5 (MACsec, encrypted)"),
    (1, Ether(type=60) / LLC(dsap=0x42, ssap=0x42) / bytes(60), "LLC 0x4242 (STP)"),
  ],
)  # fmt: skip
def test_what_is_skipped_is_named(link_type, packet, what):
  flows, accounts = decode(packet, packet, link_type=link_type)
  assert not flows
  assert [kind for _, kind in accounts.kinds_skipped] == [what]
  assert f"    {what}: 2\n" in accounts.summary()


def test_encrypted_frames_of_wifi_are_skipped():
  flows, accounts = decode(
    Dot11(type=2, FCfield=0x40) / bytes(60), Dot11(type=0), link_type=105
  )
  assert not flows and accounts.skipped == {"not IP": 2}


def test_the_pcap_of_old_kernels():
  packet = bytes(ETHER / V4 / DATA)
  for order in "<>":
    header = struct.pack(order + "IHHIIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    record = struct.pack(order + "IIII", 1, 2, len(packet), len(packet)) + bytes(8)
    flows, accounts = files.flows_of(header + (record + packet) * 3)
    assert [flow["num_packets"] for flow in flows] == [3] and not accounts.warnings


def test_tcp_in_a_tunnel_ends_by_its_own_flags():
  packets = [
    ETHER / OUTER / GRE() / V4 / TCP(sport=1, dport=2, flags=flags, seq=9)
    for flags in ("S", "FA", "S")
  ]
  timed = [(i * files.SECOND, bytes(packet)) for i, packet in enumerate(packets)]
  flows, _ = files.flows_of(files.pcap(timed, files.ETHERNET), Rules(inner=True))
  assert [flow["reason"] for flow in flows] == ["FIN", "END_OF_CAPTURE"]
