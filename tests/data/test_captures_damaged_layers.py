"""Damaged tunnels and wrappers end in flows, in named skips, or in one clear error."""

import random

import pytest

from mtl_traffic.data import captures
from mtl_traffic.data.captures.assembly import Rules
from mtl_traffic.errors import InputError
from mtl_traffic.flows import validate
from tests.data import capture_files as files
from tests.data import test_captures_damaged as damaged

tunnels = pytest.importorskip(
  "tests.data.test_captures_tunnels", reason="needs Scapy, of the test extra"
)


def sound_captures():
  """Tunnels of each kind, and link types of each kind, of all in one pcapng."""
  packets = [bytes(tunnels.ETHER / packet) for _, packet, _ in tunnels.TUNNELS]
  yield files.pcap([(i * files.SECOND, p) for i, p in enumerate(packets)], 1)
  frames = [(kind, bytes(packet)) for kind, packet in tunnels.WRAPPED]
  yield (
    files.section()
    + b"".join(files.interface(kind) for kind, _ in frames)
    + b"".join(files.enhanced(i, p, i) for i, (_, p) in enumerate(frames))
  )


@pytest.mark.parametrize("seed", range(4))
def test_damaged_layers(seed, tmp_path):
  rng = random.Random(seed)
  content, path = list(sound_captures())[seed % 2], tmp_path / "damaged.pcap"
  num_in_flows = 0
  for _ in range(100):
    path.write_bytes(damaged.mutated(content, rng))
    accounts, num_packets = captures.Accounts(), 0
    rules = Rules(inner=bool(seed // 2), drop_copies=rng.random() < 0.3)
    try:
      for captured in captures.read_flows(path, accounts, rules):
        num_packets += int(validate(captured.flows).num_packets.sum())
    except InputError as error:
      assert "damaged.pcap" in str(error) and "\n" not in str(error)
      continue
    assert num_packets == accounts.num_in_flows
    skipped = sum(accounts.skipped.values())
    assert accounts.num_packets == accounts.num_in_flows + skipped
    num_in_flows += num_packets
  assert num_in_flows > 100
