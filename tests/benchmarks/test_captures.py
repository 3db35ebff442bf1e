"""The captures that the benchmarks write hold the flows that they are made of."""

import subprocess
import sys

import numpy as np

from benchmarks import captures as benchmark
from mtl_traffic.data import captures, simulated


def test_a_capture_holds_the_simulated_flows(tmp_path):
  path = tmp_path / "flows.pcap"
  num_packets = benchmark.write_capture(
    path, num_flows=20, packets_per_flow=12, snap_length=96, seed=3, arrival_s=5.0
  )
  accounts = captures.Accounts()
  # No silence ends a flow, so that none is split.
  rules = captures.Rules(udp_silence_s=1e9)
  read = list(captures.read_flows(path, accounts, rules=rules))
  meant = simulated.simulate(num_flows=20, max_packets=12, seed=3).packets
  assert accounts.num_packets == num_packets == meant.counts.sum()
  counts = np.concatenate([captured.flows.num_packets for captured in read])
  assert sorted(counts) == sorted(meant.counts)
  lengths = sum(int(captured.flows.num_bytes.sum()) for captured in read)
  there = np.arange(12) < meant.counts[:, None]
  assert lengths == np.maximum(meant.lengths[there], 28).sum()


def test_the_measured_program_says_packets_a_second(tmp_path):
  path = tmp_path / "flows.pcap"
  benchmark.write_capture(path, 20, 12, 96, 0)
  assert benchmark.measure(benchmark._OURS, [path]) > 0


def test_without_nfstream_it_says_what_to_install(tmp_path):
  program = """
import sys
sys.modules["nfstream"] = None  # As if it were not installed.
from benchmarks import captures
from mtl_traffic.commands import cli
cli.run(captures.main, captures.define_flags, name="x", about="", uses_jax=False)
"""
  done = subprocess.run(
    [sys.executable, "-c", program, f"--workdir={tmp_path}"],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1
  assert done.stderr == "error: NFStream is missing; install mtl_traffic[nfstream]\n"
