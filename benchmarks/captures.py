"""Measures packets per second from capture to flows, compared with NFStream.

    python -m benchmarks.captures --workdir=runs/captures

Writes captures of simulated flows as UDP packets. Then reads them in turn with this
project and with NFStream, each in one process, and with this project in two processes.
NFStream's statistics and dissection are off. Prints the best rate of each and the
median of the paired ratios. Needs the `nfstream` extra.
"""

import pathlib
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.data import simulated
from mtl_traffic.errors import InputError

_ARRIVAL_S = 600.0  # All flows begin within this time.
_RECORD = np.dtype(
  [
    ("seconds", "<u4"),
    ("microseconds", "<u4"),
    ("captured", "<u4"),
    ("length", "<u4"),
    ("hosts", "V12"),
    ("ethertype", ">u2"),
    ("version", "u1"),
    ("service", "u1"),
    ("ip_length", ">u2"),
    ("id", ">u4"),
    ("ttl", "u1"),
    ("protocol", "u1"),
    ("checksum", ">u2"),
    ("source", ">u4"),
    ("target", ">u4"),
    ("source_port", ">u2"),
    ("target_port", ">u2"),
    ("udp_length", ">u2"),
    ("udp_checksum", ">u2"),
  ]
)
_RECORD_HEADER, _ETHERNET_HEADER, _IP_AND_UDP = 16, 14, 28

_OURS = """
import sys, time
from mtl_traffic.data import captures
begun = time.perf_counter()
accounts = captures.Accounts()
num_flows = sum(map(len, captures.read_flows(sys.argv[1], accounts)))
print(accounts.num_packets, num_flows, time.perf_counter() - begun)
"""
_NFSTREAM = """
import sys, time, nfstream
begun = time.perf_counter()
flows = nfstream.NFStreamer(
  source=sys.argv[1], n_dissections=0, statistical_analysis=False, n_meters=1,
  idle_timeout=15, accounting_mode=1,
)
num_flows = num_packets = 0
for flow in flows:
  num_flows, num_packets = num_flows + 1, num_packets + flow.bidirectional_packets
print(num_packets, num_flows, time.perf_counter() - begun)
"""


def define_flags() -> None:
  cli.define_required("workdir", "where captures go")
  for name, default, meaning in (
    ("num_flows", 4000, "Flows in a capture."),
    ("packets_per_flow", 256, "The most packets of a flow."),
    ("snap_length", 65535, "Bytes kept of a packet."),
    ("repeats", 5, "How often each is measured."),
  ):
    flags.DEFINE_integer(name, default, meaning, lower_bound=1)


def main() -> None:
  args = flags.FLAGS
  try:
    import nfstream  # noqa: F401
  except ImportError as error:
    raise InputError("NFStream is missing; install mtl_traffic[nfstream]") from error
  workdir = pathlib.Path(args.workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  paths = [workdir / f"simulated-{seed}.pcap" for seed in range(2)]
  for seed, path in enumerate(paths):
    num_packets = write_capture(
      path, args.num_flows, args.packets_per_flow, args.snap_length, seed
    )
    print(f"{path}: {num_packets} packets, {path.stat().st_size / 1e6:.0f} MB")
  ways: dict[str, Callable[[], float]] = {
    "mtl_traffic, one process": lambda: measure(_OURS, paths[:1]),
    "NFStream, one process": lambda: measure(_NFSTREAM, paths[:1]),
    "mtl_traffic, two processes": lambda: measure(_OURS, paths),
  }
  speeds = {way: [] for way in ways}
  for _ in range(args.repeats):  # In turn, so that changes in load affect all alike.
    for way, speed in ways.items():
      speeds[way].append(speed())
  for way, values in speeds.items():
    print(f"{way}: {max(values) / 1e6:.2f} M packets/s")
  ours, theirs, both = (np.array(values) for values in speeds.values())
  print(f"against NFStream: {np.median(ours / theirs):.1f} times")
  print(f"two processes against one: {np.median(both / ours):.2f} times")


def write_capture(
  path: pathlib.Path,
  num_flows: int,
  packets_per_flow: int,
  snap_length: int,
  seed: int,
  arrival_s: float = _ARRIVAL_S,
) -> int:
  """Writes simulated flows as UDP over Ethernet; returns the number of packets."""
  flows = simulated.simulate(
    num_flows=num_flows, max_packets=packets_per_flow, seed=seed
  )
  packets = flows.packets
  rng = np.random.default_rng(seed)
  there = np.arange(packets_per_flow) < packets.counts[:, None]
  times = (packets.times + rng.uniform(0, arrival_s, (len(flows), 1)))[there]
  lengths = np.maximum(packets.lengths[there], _IP_AND_UDP)
  client = 0x0A000000 + np.nonzero(there)[0]
  forward = packets.directions[there] > 0

  records = np.zeros(len(times), _RECORD)
  records["seconds"] = 1_600_000_000 + times.astype(np.int64)
  records["microseconds"] = times % 1 * 1e6
  records["length"] = lengths + _ETHERNET_HEADER
  records["captured"] = np.minimum(records["length"], snap_length)
  records["ethertype"], records["version"], records["ttl"] = 0x0800, 0x45, 64
  records["ip_length"], records["udp_length"] = lengths, lengths - 20
  records["protocol"] = 17
  records["source"] = np.where(forward, client, 0xC0A80001)
  records["target"] = np.where(forward, 0xC0A80001, client)
  records["source_port"] = np.where(forward, 50_000, 443)
  records["target_port"] = np.where(forward, 443, 50_000)

  payload = bytes(1 << 16)
  headers = _ETHERNET_HEADER + _IP_AND_UDP
  with path.open("wb") as file:
    file.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, snap_length, 1))
    for i in np.argsort(times, kind="stable"):
      captured = int(records["captured"][i])
      file.write(records[i].tobytes()[: _RECORD_HEADER + captured])
      file.write(payload[: max(captured - headers, 0)])
  return len(records)


def measure(program: str, paths: Sequence[pathlib.Path]) -> float:
  """Packets per second of a program, run on all captures in parallel."""
  runs = [
    subprocess.Popen(
      [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True
    )
    for path in paths
  ]
  outputs = [run.communicate()[0].split() for run in runs]
  if any(run.returncode for run in runs):
    raise InputError("the measured program failed; its message is above")
  num_packets = sum(int(output[0]) for output in outputs)
  return num_packets / max(float(output[2]) for output in outputs)


if __name__ == "__main__":
  cli.run(
    main,
    define_flags,
    name="python -m benchmarks.captures",
    about=__doc__,
    uses_jax=False,
  )
