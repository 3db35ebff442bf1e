"""If listeners share an interface, all packets of a flow go to the same one."""

import socket
import struct
import subprocess
import sys

import numpy as np
import pytest

from mtl_traffic.data.captures import Accounts
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.interface import listen, read_listener
from mtl_traffic.errors import InputError
from tests.data.capture_files import ip_packet

NUM_PAIRS = 40
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806


def frame(kind, packet):
  return bytes(12) + struct.pack(">H", kind) + packet


def ipv6_packet(source, target):
  header = struct.pack(">IHBB", 6 << 28, 8, 17, 64)
  addresses = (socket.inet_pton(socket.AF_INET6, text) for text in (source, target))
  return header + b"".join(addresses) + struct.pack(">HHHH", 7, 8, 8, 0)


def fragment(packet, offset):
  """A packet that is a fragment; only the first fragment has ports."""
  packet = bytearray(packet)
  packet[6:8] = struct.pack(">H", offset | (0x2000 if offset == 0 else 0))
  return bytes(packet)


def sent(sender):
  """Packets in both directions between pairs of addresses, some of them fragments."""
  for i in range(NUM_PAIRS):
    there = {"source": f"10.1.0.{i}", "target": "10.2.0.200"}
    back = {"source": "10.2.0.200", "target": f"10.1.0.{i}"}
    packets = [
      *(ip_packet(**there, source_port=1000 + n, payload=16) for n in range(3)),
      *(ip_packet(**back, target_port=1000 + n, payload=16) for n in range(3)),
      fragment(ip_packet(**there, payload=16), 0),
      fragment(ip_packet(**there, payload=16), 3),
    ]
    for packet in packets:
      sender.send(frame(IPV4, packet))
    names = (f"fd00::{i:x}", "fd00:1::1")
    for pair in (names, names[::-1]):
      sender.send(frame(IPV6, ipv6_packet(*pair)))
  sender.send(frame(ARP, bytes(28)))


def heard():
  """Counts packets by listener and pair; runs in its own network namespace."""
  listeners = listen("v1", 2, num_blocks=32)
  with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
    sender.bind(("v0", 0))
    sent(sender)
  totals = []
  for listener in listeners:
    accounts = Accounts()
    decoder, counts = Decoder(accounts), np.zeros((2, NUM_PAIRS), int)
    for raw in read_listener(listener, accounts, patience_s=0.5):
      if not len(raw.times):
        break
      keys = decoder.decode(raw).keys
      is_four = keys[:, 4] & np.uint64(0xFF) == 4
      pairs = (keys[:, 1] & np.uint64(0xFF)).astype(int)
      np.add.at(counts, (np.where(is_four, 0, 1), pairs), 1)
    assert accounts.num_lost == 0
    totals.append(counts)
    num_other = sum(accounts.skipped.values())
    print(listener.name, accounts.num_packets, num_other)
  first, second = totals
  assert ((first == 0) | (second == 0)).all(), (first, second)
  # One fragment has the ports; the other one must go to the same listener.
  assert (first + second == [[8], [2]]).all(), first + second
  shares = (first[0] > 0).mean(), (first[1] > 0).mean()
  assert all(0.2 < share < 0.8 for share in shares), shares


def test_a_flow_is_heard_by_one_listener_in_both_directions_and_in_fragments():
  program = "import sys; from tests.data.test_captures_fanout import heard; heard()"
  made = (
    "ip link add v0 type veth peer name v1 && sysctl -qw "
    "net.ipv6.conf.v0.disable_ipv6=1 net.ipv6.conf.v1.disable_ipv6=1 && "
    "ip link set v0 up && ip link set v1 up"
  )
  inside = ["unshare", "--net", "sh", "-c"]
  try:
    tried = subprocess.run([*inside, made], capture_output=True, text=True)
  except FileNotFoundError:
    pytest.skip("unshare is not installed")
  if tried.returncode:
    pytest.skip(f"networks cannot be made: {tried.stderr.strip()}")
  done = subprocess.run(
    [*inside, f'{made} && exec "$0" -c "$1"', sys.executable, program],
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  assert len(done.stdout.splitlines()) == 2


def test_an_interface_that_is_not_there_cannot_be_shared():
  with pytest.raises(InputError, match="none0: "):
    listen("none0", 2)
