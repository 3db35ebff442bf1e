"""Tests of the builder of the ISCX VPN-nonVPN dataset, on captures written here."""

import gzip
import random

import numpy as np
import pytest

from mtl_traffic.errors import InputError
from mtl_traffic.flows import validate
from tests.data import capture_files as files

pytest.importorskip("tensorflow_datasets", reason="needs TFDS")

from mtl_traffic.data import tfds_flows
from mtl_traffic.data.iscx_vpn2016 import categories
from mtl_traffic.data.iscx_vpn2016 import iscx_vpn2016_dataset_builder as iscx

PUBLISHED = {
  "AIMchat1.pcapng": ("chat", False),
  "vpn_skype-chat1a.pcap": ("chat", True),
  "gmailchat2.pcapng": ("chat", False),
  "email1b.pcap": ("email", False),
  "vpn_email2a.pcap": ("email", True),
  "sftp_up_2a.pcap": ("file-transfer", False),
  "scpDown3.pcap": ("file-transfer", False),
  "skype_file4.pcap": ("file-transfer", False),
  "vpn_skype_files1a.pcap": ("file-transfer", True),
  "youtubeHTML5_1.pcap": ("streaming", False),
  "vpn_netflix_A.pcap": ("streaming", True),
  "facebook_audio3.pcapng": ("voip", False),
  "vpn_voipbuster1a.pcap": ("voip", True),
}
LEFT_OUT = {
  "skype_video1a.pcap": "video call",
  "vpn_bittorrent.pcap": "file sharing",
  "Torrent01.pcapng": "file sharing",
  "torYoutube1.pcap": "Tor",
  "browsing.pcap": "browsing",
  "something.pcap": "in no row of the table of categories",
}


def capture(name, num_flows=3):
  """A capture of UDP flows that the name determines, pcap or pcapng."""
  rng = random.Random(name)
  packets = []
  for i in range(num_flows * 5):
    port = 1000 + i % num_flows
    length = rng.randrange(60)
    packets.append((i * 10**8, files.ip_packet(source_port=port, payload=length)))
  if "pcapng" not in name:
    return files.pcap(packets)
  head = files.section() + files.interface(resolution=9)
  return head + b"".join(files.enhanced(time, packet) for time, packet in packets)


@pytest.fixture
def manual_dir(tmp_path):
  folder = tmp_path / "manual"
  (folder / "VPN-PCAPS-01").mkdir(parents=True)
  for name in (*PUBLISHED, *LEFT_OUT):
    below = folder / "VPN-PCAPS-01" if name.startswith("vpn") else folder
    (below / name).write_bytes(capture(name))
  return folder


@pytest.fixture
def prepare(tmp_path):
  def prepare(manual_dir, config="first256", **download_config):
    builder = iscx.Builder(data_dir=tmp_path / "data", config=config)
    tfds_flows.prepare(builder, manual_dir, **download_config)
    return validate(tfds_flows.load(builder))

  return prepare


def capture_of(flows):
  return [name.rpartition("#")[0] for name in flows.ids]


def test_published_names_have_categories(manual_dir):
  found, left_out = categories.find_captures(manual_dir, categories.read_table())
  assert {c.path.name: (c.category, c.is_vpn) for c in found} == PUBLISHED
  assert left_out == LEFT_OUT


def test_linked_folders_are_followed(manual_dir, tmp_path):
  (manual_dir / "VPN-PCAPS-01").rename(tmp_path / "another disk")
  (manual_dir / "VPN-PCAPS-01").symlink_to(tmp_path / "another disk")
  (manual_dir / "again").symlink_to(tmp_path / "another disk")
  (manual_dir / "VPN-PCAPS-01" / "back").symlink_to(manual_dir)  # Has no end.
  found, _ = categories.find_captures(manual_dir, categories.read_table())
  assert {c.path.name: (c.category, c.is_vpn) for c in found} == PUBLISHED


def test_flows_of_all_captures(manual_dir, prepare):
  flows = prepare(manual_dir)
  assert len(flows) == 3 * len(PUBLISHED)
  assert set(flows.partition_names) == {"vpn", "nonvpn"}
  assert flows.class_names == categories.CATEGORIES
  for i, name in enumerate(capture_of(flows)):
    category, is_vpn = PUBLISHED[name]
    assert flows.class_names[flows.classes[i]] == category
    partition = flows.partition_names[flows.partitions[i]]
    assert partition == ("vpn" if is_vpn else "nonvpn")
  (row,) = np.flatnonzero(flows.ids == "email1b.pcap#1")
  (expected, *_), _ = files.flows_of(capture("email1b.pcap"))
  assert flows.packets.lengths[row].tolist() == expected["lengths"]
  assert flows.packets.times[row].tolist() == expected["times"]
  assert flows.num_bytes[row] == expected["num_bytes"]


def test_split_by_capture(manual_dir, prepare):
  for name in ("email9.pcap", "email10.pcap"):
    (manual_dir / name).write_bytes(capture(name))
  flows = prepare(manual_dir, "first256_by_capture")
  captures = {
    name: {
      c for c, p in zip(capture_of(flows), flows.partitions, strict=True) if p == i
    }
    for i, name in enumerate(flows.partition_names)
  }
  assert not captures["training"] & captures["held_out"]
  assert captures["held_out"] == {
    "gmailchat2.pcapng",
    "email1b.pcap",
    "sftp_up_2a.pcap",
  }
  assert len(captures["training"]) + 3 == len(PUBLISHED) + 2


def test_gzip_and_number_of_packets(tmp_path, prepare):
  folder = tmp_path / "packed"
  folder.mkdir()
  (folder / "email1a.pcap.gz").write_bytes(gzip.compress(capture("email1a.pcap")))
  flows = prepare(folder, iscx.config(max_packets=2))
  assert flows.packets.counts.tolist() == [2, 2, 2]
  assert flows.num_packets.tolist() == [5, 5, 5]


def test_a_table_of_ones_own(manual_dir, tmp_path, prepare):
  table = tmp_path / "table.csv"
  table.write_text(
    "pattern,category,left_out_because\n*video*,voip,\n*,,not asked for\n"
  )
  flows = prepare(manual_dir, iscx.config(table=table))
  assert set(capture_of(flows)) == {"skype_video1a.pcap"}
  assert {flows.class_names[c] for c in flows.classes} == {"voip"}


@pytest.mark.parametrize(
  ("rows", "message"),
  [
    ("name\n", "line 1 must be"),
    ("pattern,category,left_out_because\na*,games,\n", "line 2: category is 'games'"),
    ("pattern,category,left_out_because\na*,chat,why\n", "line 2: give a pattern"),
    ("pattern,category,left_out_because\na*,,\n", "line 2: give a pattern"),
  ],
)
def test_tables_that_cannot_be_read_raise(tmp_path, rows, message):
  table = tmp_path / "table.csv"
  table.write_text(rows)
  with pytest.raises(InputError, match=message):
    categories.read_table(table)


def test_folders_that_cannot_be_used_raise(tmp_path, prepare):
  folder = tmp_path / "empty"
  folder.mkdir()
  (folder / "readme.txt").write_text("no capture")
  with pytest.raises(InputError, match=r"no capture of a known .*but readme\.txt"):
    prepare(folder)
  (folder / "email1.pcap").write_bytes(b"not a capture, though it is named like one")
  with pytest.raises(InputError, match="not a pcap or pcapng capture"):
    prepare(folder)


def test_beam_yields_the_same(manual_dir, prepare):
  pytest.importorskip("apache_beam", reason="needs Apache Beam, of the beam extra")
  beam = prepare(manual_dir, iscx.config(max_packets=50), beam_runner="DirectRunner")
  plain = prepare(manual_dir, iscx.config(max_packets=51))
  order, other = np.argsort(beam.ids), np.argsort(plain.ids)
  np.testing.assert_array_equal(beam.ids[order], plain.ids[other])
  np.testing.assert_array_equal(beam.num_bytes[order], plain.num_bytes[other])
  np.testing.assert_array_equal(beam.classes[order], plain.classes[other])
