"""Tests of `mtl_traffic.data.captures.decoding`, on packets that Scapy makes."""

import pytest

from tests.data import capture_files as files

pytest.importorskip("scapy", reason="needs Scapy, of the test extra")

from scapy.all import IP, UDP
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, TCP, fragment
from scapy.layers.inet6 import (
  IPv6,
  IPv6ExtHdrDestOpt,
  IPv6ExtHdrFragment,
  IPv6ExtHdrHopByHop,
  IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import (
  ARP,
  LLC,
  SNAP,
  CookedLinux,
  CookedLinuxV2,
  Dot1AD,
  Dot1Q,
  Ether,
  Loopback,
)
from scapy.layers.ppp import HDLC, PPP, PPPoE

V4 = IP(src="10.0.0.1", dst="10.0.0.2")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
DATA = UDP(sport=1000, dport=53) / bytes(12)
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def decode(*packets, link_type=files.ETHERNET, payload_lengths=False, **kwargs):
  """The flows of packets that come a second apart, and the skipped."""
  timed = [(i * files.SECOND, bytes(packet)) for i, packet in enumerate(packets)]
  content = files.pcap(timed, link_type, **kwargs)
  flows, accounts = files.flows_of(content, payload_lengths=payload_lengths)
  return flows, dict(accounts.skipped)


def check_one(flows, client, server, num_bytes, protocol=17):
  (flow,) = flows
  assert (flow["client"], flow["server"]) == (client, server)
  assert (flow["num_bytes"], flow["protocol"]) == (num_bytes, protocol)


LINKS = [
  (1, ETHER / V4 / DATA),
  (1, ETHER / Dot1Q(vlan=7) / V4 / DATA),
  (1, ETHER / Dot1AD(vlan=1) / Dot1Q(vlan=2) / V4 / DATA),
  (1, ETHER / Dot1Q(vlan=7, type=0x8847) / MPLS(label=1, s=1) / V4 / DATA),
  (1, ETHER / MPLS(label=9, s=0) / MPLS(label=8, s=1) / V4 / DATA),
  (1, ETHER / PPPoE(sessionid=1) / PPP() / V4 / DATA),
  (1, Ether(type=60) / LLC() / SNAP(code=0x800) / V4 / DATA),
  (101, V4 / DATA),
  (12, V4 / DATA),
  (228, V4 / DATA),
  (0, Loopback(type=2) / V4 / DATA),
  (108, b"\0\0\0\2" + bytes(V4 / DATA)),
  (0, b"\0\0\0\2" + bytes(V4 / DATA)),
  (113, CookedLinux(proto=0x800) / V4 / DATA),
  (276, CookedLinuxV2(proto=0x800) / V4 / DATA),
  (9, PPP(proto=0x21) / V4 / DATA),
  (9, HDLC() / PPP(proto=0x21) / V4 / DATA),
  (9, b"\x21" + bytes(V4 / DATA)),
  (104, b"\x0f\0\x08\0" + bytes(V4 / DATA)),
]


@pytest.mark.parametrize(("link_type", "packet"), LINKS)
def test_link_layers(link_type, packet):
  flows, skipped = decode(packet, link_type=link_type)
  check_one(flows, ("10.0.0.1", 1000), ("10.0.0.2", 53), 20 + 8 + 12)
  assert not skipped


@pytest.mark.parametrize(
  ("link_type", "packet"),
  [
    (1, ETHER / V6 / DATA),
    (229, V6 / DATA),
    (101, V6 / DATA),
    (0, b"\x1e\0\0\0" + bytes(V6 / DATA)),
    (113, CookedLinux(proto=0x86DD) / V6 / DATA),
    (276, CookedLinuxV2(proto=0x86DD) / V6 / DATA),
    (9, PPP(proto=0x57) / V6 / DATA),
    (1, ETHER / MPLS(label=8, s=1) / V6 / DATA),
  ],
)
def test_ipv6(link_type, packet):
  flows, skipped = decode(packet, link_type=link_type)
  check_one(flows, ("2001:db8::1", 1000), ("2001:db8::2", 53), 40 + 8 + 12)
  assert not skipped


@pytest.mark.parametrize(
  ("headers", "size"),
  [
    (IPv6ExtHdrHopByHop(), 8),
    (IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(), 24),
    (IPv6ExtHdrFragment(offset=0, m=0, id=5), 8),
    (AH(nh=17, payloadlen=4, icv=bytes(12)), 24),
  ],
)
def test_ipv6_extension_headers(headers, size):
  flows, skipped = decode(ETHER / V6 / headers / DATA)
  check_one(flows, ("2001:db8::1", 1000), ("2001:db8::2", 53), 40 + size + 8 + 12)
  assert not skipped
  (flow,), _ = decode(ETHER / V6 / headers / DATA, payload_lengths=True)
  assert flow["num_bytes"] == 12


def test_ipv4_options_and_payload_length():
  header = IP(src="10.0.0.1", dst="10.0.0.2", options=[b"\x94\x04\0\0"])
  packet = ETHER / header / TCP(sport=1, dport=2, options=[("MSS", 9)]) / b"hello"
  check_one(decode(packet)[0], ("10.0.0.1", 1), ("10.0.0.2", 2), 24 + 24 + 5, 6)
  (flow,), _ = decode(packet, payload_lengths=True)
  assert flow["num_bytes"] == 5


def test_padding_and_snap_length_do_not_change_the_length():
  packet = bytes(ETHER / V4 / DATA)
  for content, snap_length in ((packet + bytes(30), 65535), (packet, 14 + 20 + 8)):
    flows, skipped = decode(content, snap_length=snap_length)
    check_one(flows, ("10.0.0.1", 1000), ("10.0.0.2", 53), 40)
    assert not skipped


def test_length_of_zero_is_that_of_the_frame():
  packet = ETHER / IP(src="10.0.0.1", dst="10.0.0.2", len=0) / TCP() / bytes(3000)
  assert decode(packet)[0][0]["num_bytes"] == 20 + 20 + 3000
  packet = ETHER / IPv6(src="::1", dst="::2", plen=0) / DATA
  assert decode(packet)[0][0]["num_bytes"] == 60


def test_an_ipv4_address_is_not_the_ipv6_address_of_the_same_number():
  flows, _ = decode(
    IP(src="0.0.0.1", dst="0.0.0.2") / DATA,
    IPv6(src="::1", dst="::2") / DATA,
    link_type=101,
  )
  assert [flow["num_packets"] for flow in flows] == [1, 1]


def test_ipv4_fragments_belong_to_the_first():
  parts = fragment(
    IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=5, dport=6) / bytes(3000), 1000
  )
  flows, skipped = decode(*[ETHER / part for part in parts])
  check_one(flows, ("10.0.0.1", 5), ("10.0.0.2", 6), 3008 + 20 * len(parts))
  assert flows[0]["num_packets"] == len(parts) > 2 and not skipped
  (flow,), _ = decode(*[ETHER / part for part in parts], payload_lengths=True)
  assert flow["num_bytes"] == 3000


def test_fragments_without_the_first_are_counted():
  parts = fragment(IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP() / bytes(3000), 1000)
  flows, skipped = decode(*[ETHER / part for part in parts[1:]])
  assert not flows
  assert skipped == {"fragment whose first part is missing": len(parts) - 1}


def test_fragments_of_another_packet_are_not_mixed_up():
  first, later = (
    fragment(
      IP(src="10.0.0.1", dst="10.0.0.2", id=i) / UDP(sport=i) / bytes(1600), 1000
    )
    for i in (1, 2)
  )
  flows, skipped = decode(*(ETHER / part for part in (first[0], later[1], first[1])))
  assert [flow["num_packets"] for flow in flows] == [2]
  assert sum(skipped.values()) == 1


def test_ipv6_fragments_belong_to_the_first():
  whole = bytes(UDP(sport=5, dport=6, len=1608, chksum=1) / bytes(1600))
  head = IPv6ExtHdrFragment(nh=17, id=9, offset=0, m=1)
  tail = IPv6ExtHdrFragment(nh=17, id=9, offset=100, m=0)
  flows, skipped = decode(
    ETHER / V6 / head / whole[:800], ETHER / V6 / tail / whole[800:]
  )
  check_one(flows, ("2001:db8::1", 5), ("2001:db8::2", 6), 2 * 48 + 1608)
  assert flows[0]["num_packets"] == 2 and not skipped


@pytest.mark.parametrize(
  ("packet", "cause"),
  [
    (ETHER / ARP(), "not IP"),
    (Ether(type=60) / LLC(dsap=0x42, ssap=0x42) / bytes(40), "not IP"),
    (ETHER / MPLS(label=1, s=1) / bytes(40), "not IP"),
    (ETHER / V4 / ICMP(), "IP, but not TCP or UDP"),
    (ETHER / V4 / V4 / DATA, "IP, but not TCP or UDP"),
    (ETHER / IP(version=5) / DATA, "malformed header"),
    (ETHER / IP(ihl=4) / DATA, "malformed header"),
    (ETHER / IP(len=19) / DATA, "malformed header"),
    (ETHER / IP(len=22) / DATA, "malformed header"),
    (b"short", "cut before the ports"),
    (bytes(ETHER / V4 / DATA)[:36], "cut before the ports"),
    (bytes(ETHER / V6 / DATA)[:40], "cut before the ports"),
    (bytes(ETHER)[:12] + b"\x81\0\0\1" * 20 + b"\x08\0" + bytes(V4 / DATA),
     "malformed header"),
  ],
)  # fmt: skip
def test_what_is_in_no_flow_is_counted_by_cause(packet, cause):
  flows, skipped = decode(packet)
  assert not flows
  assert skipped == {cause: 1}


def test_unknown_link_type_is_counted():
  assert decode(b"?", link_type=147) == ([], {"unknown link type": 1})


def test_packets_of_all_kinds_in_one_batch_keep_their_order():
  packets = [ETHER / V4 / DATA, ETHER / V6 / DATA, ETHER / ARP()] * 3
  flows, skipped = decode(*packets)
  assert [flow["first"] for flow in flows] == [1, 2]
  assert [flow["times"] for flow in flows] == [[0, 3, 6]] * 2
  assert skipped == {"not IP": 3}
