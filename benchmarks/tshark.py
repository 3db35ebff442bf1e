"""Compares the packets and bytes of each five-tuple with tshark's.

    python -m benchmarks.tshark --captures=DIR
    python -m benchmarks.tshark --captures=DIR --inner

Reads each capture with this project and with tshark, and prints five-tuples that
differ. Needs tshark, a package of every Linux distribution. Fragments are not
reassembled, here and in this project: all fragments of a packet count for the
five-tuple of the first one.
"""

import collections
import shutil
import subprocess
from collections.abc import Iterator

from absl import flags

from mtl_traffic.commands import capture_flags, cli
from mtl_traffic.data import captures
from mtl_traffic.errors import InputError

_FIELDS = (
  *("frame.protocols", "ip.src", "ip.dst", "ip.len", "ip.id", "ip.frag_offset"),
  *("ip.proto", "ipv6.src", "ipv6.dst", "ipv6.plen", "tcp.srcport", "tcp.dstport"),
  *("udp.srcport", "udp.dstport", "ipv6.fraghdr.ident", "ipv6.fraghdr.offset"),
)
_PREFERENCES = (
  *("ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"),
  "ip.tso_support:TRUE",
)
# Packets that carry the start of another packet, such as one that was dropped.
_QUOTING = ("icmp", "icmpv6")
_NUMBERS = {"tcp": 6, "udp": 17}
_SHOWN = 20


def define_flags() -> None:
  capture_flags.define(captures.DEFAULT_RULES)


def main() -> None:
  if not shutil.which("tshark"):
    raise InputError("tshark is missing; install the package of that name")
  paths = capture_flags.find_captures()
  inner, num_equal, num_all = flags.FLAGS.inner, 0, 0
  for path in paths:
    ours, theirs = _ours(path, inner), _theirs(path, inner)
    differ = [
      key for key in sorted(ours.keys() | theirs.keys()) if ours[key] != theirs[key]
    ]
    num_all += len(ours.keys() | theirs.keys())
    num_equal += len(ours.keys() | theirs.keys()) - len(differ)
    for key in differ[:_SHOWN]:
      print(f"{path.name}: {key}: here {ours[key]}, tshark {theirs[key]}")
    if len(differ) > _SHOWN:
      print(f"{path.name}: and {len(differ) - _SHOWN} more")
  print(f"{num_equal} of {num_all} five-tuples of {len(paths)} captures are equal")


class _Totals(dict):
  """Packets and bytes by five-tuple."""

  def __missing__(self, key):
    return (0, 0)

  def add(self, key, num_packets: int, num_bytes: int) -> None:
    packets, all_bytes = self[key]
    self[key] = (packets + num_packets, all_bytes + num_bytes)


def _ours(path, inner: bool) -> _Totals:
  totals = _Totals()
  rules = captures.Rules(max_packets=1, inner=inner)
  for batch in captures.read_flows(path, captures.Accounts(), rules):
    for i in range(len(batch)):
      client = (batch.client_addresses[i], int(batch.client_ports[i]))
      server = (batch.server_addresses[i], int(batch.server_ports[i]))
      key = (*sorted((client, server)), int(batch.protocols[i]))
      totals.add(key, int(batch.flows.num_packets[i]), int(batch.flows.num_bytes[i]))
  return totals


def _theirs(path, inner: bool) -> _Totals:
  totals, firsts = _Totals(), {}
  for packet in _packets(path):
    layer = _layer(packet, inner)
    if layer is None:
      continue
    source, target, length, protocol, ports, fragment, is_later = layer
    if is_later:
      if (source, target, fragment) not in firsts:
        continue
      protocol, ports = firsts[source, target, fragment]
    elif fragment is not None:
      firsts[source, target, fragment] = (protocol, ports)
    if protocol is None or ports is None:
      continue
    ends = sorted(((source, ports[0]), (target, ports[1])))
    totals.add((*ends, protocol), 1, length)
  return totals


def _packets(path) -> Iterator[dict[str, list[str]]]:
  command = ["tshark", "-r", str(path), "-n", "-T", "fields", "-E", "occurrence=a"]
  command += ["-E", "aggregator=|", "-E", "separator=/t"]
  for field in _FIELDS:
    command += ["-e", field]
  for preference in _PREFERENCES:
    command += ["-o", preference]
  done = subprocess.run(command, capture_output=True, text=True, errors="replace")
  if done.returncode and not done.stdout:
    raise InputError(f"{path}: tshark cannot read it ({done.stderr.strip()})")
  for line in done.stdout.splitlines():
    values = line.split("\t")
    values += [""] * (len(_FIELDS) - len(values))
    yield {
      field: value.split("|") if value else []
      for field, value in zip(_FIELDS, values, strict=False)
    }


def _layer(packet: dict[str, list[str]], inner: bool):
  """The outermost IP layer of a packet, or the innermost."""
  protocols = ":".join(packet["frame.protocols"]).split(":")
  for quoting in _QUOTING:
    if quoting in protocols:
      protocols = protocols[: protocols.index(quoting)]
  counts: collections.Counter = collections.Counter()
  layers = []
  for name in protocols:
    if name in ("ip", "ipv6"):
      layers.append([name, counts[name], None, 0])
    elif name in _NUMBERS and layers and layers[-1][2] is None:
      layers[-1][2:] = [name, counts[name]]
    counts[name] += 1
  if not layers:
    return None
  # Packets in a tunnel that are not TCP or UDP belong to no flow.
  name, i, transport, j = layers[-1 if inner else 0]
  try:
    if name == "ip":
      length = int(packet["ip.len"][i])
      fragment = int(packet["ip.frag_offset"][i])
      identity = (packet["ip.id"][i], packet["ip.proto"][i])
    else:
      length = int(packet["ipv6.plen"][i]) + 40
      parts = packet["ipv6.fraghdr.offset"]
      fragment = int(parts[0]) if parts else 0
      identity = tuple(packet["ipv6.fraghdr.ident"]) or None
    ports = transport and (
      int(packet[f"{transport}.srcport"][j]),
      int(packet[f"{transport}.dstport"][j]),
    )
    source, target = packet[f"{name}.src"][i], packet[f"{name}.dst"][i]
  except (IndexError, ValueError):
    return None
  number = _NUMBERS.get(transport)
  return source, target, length, number, ports, identity, fragment > 0


if __name__ == "__main__":
  cli.run(
    main,
    define_flags,
    name="python -m benchmarks.tshark",
    about=__doc__,
    uses_jax=False,
  )
