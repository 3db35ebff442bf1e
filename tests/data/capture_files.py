"""Writes captures byte by byte, for the tests of `mtl_traffic.data.captures`."""

import io
import socket
import struct

from mtl_traffic.data.captures import Accounts
from mtl_traffic.data.captures.assembly import DEFAULT_RULES, FlowAssembler
from mtl_traffic.data.captures.captured_flows import EndReason
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.reading import read_packets

ETHERNET, RAW = 1, 101
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SECOND = 10**9


def ip_packet(
  source="10.0.0.1",
  source_port=1000,
  target="10.0.0.2",
  target_port=80,
  flags=None,
  payload=0,
  sequence=0,
  acknowledged=0,
):
  """An IPv4 packet: TCP with these flags, or UDP if they are None."""
  if flags is None:
    segment = struct.pack(">HHHH", source_port, target_port, 8 + payload, 0)
  else:
    segment = struct.pack(
      ">HHIIBBHHH",
      *(source_port, target_port, sequence, acknowledged),
      *(5 << 4, flags, 0, 0, 0),
    )
  segment += bytes(payload)
  protocol = 17 if flags is None else 6
  header = struct.pack(
    ">BBHHHBBH4s4s",
    0x45,
    0,
    20 + len(segment),
    0,
    0,
    64,
    protocol,
    0,
    socket.inet_aton(source),
    socket.inet_aton(target),
  )
  return header + segment


def pcap(packets, link_type=RAW, order="<", nano=False, snap_length=65535):
  """A pcap of (time in ns, bytes)."""
  magic = 0xA1B23C4D if nano else 0xA1B2C3D4
  tick = 1 if nano else 1000
  out = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, snap_length, link_type)
  for time, packet in packets:
    captured = packet[:snap_length]
    ticks = time % SECOND // tick
    out += struct.pack(
      order + "IIII", time // SECOND, ticks, len(captured), len(packet)
    )
    out += captured
  return out


def block(kind, body, order="<"):
  """A pcapng block."""
  body += bytes(-len(body) % 4)
  length = struct.pack(order + "I", len(body) + 12)
  return struct.pack(order + "I", kind) + length + body + length


def section(order="<"):
  """A section header block."""
  return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type=RAW, order="<", resolution=None, offset=None):
  """An interface description block."""
  body = struct.pack(order + "HHI", link_type, 0, 0)
  if resolution is not None:
    body += struct.pack(order + "HHB3x", 9, 1, resolution)
  if offset is not None:
    body += struct.pack(order + "HHq", 14, 8, offset)
  return block(1, body + bytes(4), order)


def enhanced(ticks, packet, number=0, order="<"):
  """An enhanced packet block."""
  head = struct.pack(
    order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet)
  )
  return block(6, head + packet, order)


def read(content, chunk_bytes=1 << 16):
  """(number, time, wire length, bytes) of all packets, and the accounts."""
  accounts, packets = Accounts(), []
  for raw in read_packets(io.BytesIO(content), "capture", accounts, chunk_bytes):
    for i in range(len(raw.times)):
      begin = raw.offsets[i]
      captured = raw.data[begin : begin + raw.captured[i]].tobytes()
      numbers = (int(x[i]) for x in (raw.numbers, raw.times, raw.lengths))
      packets.append((*numbers, captured))
  return packets, accounts


def flows_of(
  content,
  rules=DEFAULT_RULES,
  chunk_bytes=1 << 16,
  payload_lengths=False,
  wait=False,
):
  """The flows of a capture as dicts in the order of first packets, and the accounts."""
  accounts, flows = Accounts(), []
  decoder = Decoder(accounts, payload_lengths, rules.drop_copies, rules.inner)
  assembler = FlowAssembler("capture", accounts, rules)
  for raw in read_packets(io.BytesIO(content), "capture", accounts, chunk_bytes):
    assembler.add(decoder.decode(raw))
    for captured in assembler.ended(wait):
      flows.extend(as_dicts(captured))
  for captured in assembler.finish():
    flows.extend(as_dicts(captured))
  assert accounts.num_packets == accounts.num_in_flows + sum(accounts.skipped.values())
  assert accounts.num_in_flows == sum(flow["num_packets"] for flow in flows)
  assert accounts.num_flows == len(flows)
  return sorted(flows, key=lambda flow: flow["first"]), accounts


def as_dicts(captured):
  """A dict for each flow, for comparison."""
  flows, packets = captured.flows, captured.flows.packets
  return [
    {
      "first": int(flows.ids[i].rpartition("#")[2]),
      "client": (captured.client_addresses[i], int(captured.client_ports[i])),
      "server": (captured.server_addresses[i], int(captured.server_ports[i])),
      "protocol": int(captured.protocols[i]),
      "reason": EndReason(captured.end_reasons[i]).name,
      "start": int(captured.start_times[i]),
      "num_packets": int(flows.num_packets[i]),
      "num_bytes": int(flows.num_bytes[i]),
      "duration": float(flows.durations[i]),
      "times": packets.times[i, : packets.counts[i]].tolist(),
      "lengths": packets.lengths[i, : packets.counts[i]].tolist(),
      "directions": packets.directions[i, : packets.counts[i]].tolist(),
    }
    for i in range(len(flows))
  ]
