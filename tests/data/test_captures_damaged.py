"""Damaged captures end in flows and a warning or in one clear error."""

import gzip
import random

import pytest

from mtl_traffic.data import captures
from mtl_traffic.errors import InputError
from mtl_traffic.flows import validate
from tests.data import capture_files as files


def sound_captures():
  """A capture of each format, of the same packets."""
  rng = random.Random(0)
  packets = [
    (
      (1000 + i) * files.SECOND,
      files.ip_packet(
        source_port=rng.randrange(1, 9),
        flags=rng.choice([None, 2, 16, 17]),
        payload=i,  # So that no two are the same.
      ),
    )
    for i in range(60)
  ]
  head = files.section() + files.interface(resolution=9)
  plain = files.pcap(packets)
  return [
    plain,
    files.pcap(packets, order=">", nano=True),
    head + b"".join(files.enhanced(time, packet) for time, packet in packets),
    gzip.compress(plain),
  ]


def mutated(content, rng):
  """The content with some bits flipped, cut, or with bytes put in."""
  content = bytearray(content)
  place = rng.randrange(len(content))
  match rng.randrange(5):
    case 0:
      for _ in range(rng.randrange(1, 9)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    case 1:
      del content[place:]
    case 2:
      other = rng.randrange(len(content))
      content[place:place] = content[other : other + rng.randrange(300)]
    case 3:
      content[place : place + 20] = bytes(20)
    case 4:
      content[place : place + 4] = b"\xff" * 4
  return bytes(content)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_captures_end_in_flows_or_one_clear_error(seed, tmp_path):
  rng = random.Random(seed)
  content, path = sound_captures()[seed], tmp_path / "damaged.pcap"
  num_warned = 0
  for _ in range(150):
    path.write_bytes(mutated(content, rng))
    accounts, num_packets = captures.Accounts(), 0
    try:
      for captured in captures.read_flows(path, accounts):
        num_packets += int(validate(captured.flows).num_packets.sum())
    except InputError as error:
      assert "damaged.pcap" in str(error) and "byte" in str(error)
      continue
    assert num_packets == accounts.num_in_flows
    skipped = sum(accounts.skipped.values())
    assert accounts.num_packets == accounts.num_in_flows + skipped
    for warning in accounts.warnings:
      assert "damaged.pcap" in warning and "byte" in warning and "\n" not in warning
    num_warned += len(accounts.warnings)
  assert num_warned > 20


@pytest.mark.parametrize("kind", range(3))
def test_what_stands_before_the_damage_is_never_lost(kind):
  content = sound_captures()[kind]
  whole, _ = files.read(content)
  ends = [content.index(packet, 24) + len(packet) for *_, packet in whole]
  for place in range(80, len(content), 37):
    damaged = content[:place] + b"\xff" * 40
    packets, _ = files.read(damaged)
    # A block of pcapng ends after up to three bytes of padding and its length.
    num_before = sum(end + 7 <= place for end in ends)
    assert packets[:num_before] == whole[:num_before]
