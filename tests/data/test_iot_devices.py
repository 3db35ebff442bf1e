"""Tests of the builder of IoT devices, on captures written here."""

import gzip

import pytest

from mtl_traffic.data.iot_devices.devices import DEVICES, device_of, find_captures
from mtl_traffic.errors import InputError
from tests.data import capture_files as files


def capture(*lengths):
  """A capture of one UDP flow for each number of packets."""
  return files.pcap(
    (i * 10**6, files.ip_packet(source_port=port, payload=port))
    for port, n in enumerate(lengths, start=1)
    for i in range(n)
  )


@pytest.fixture
def manual_dir(tmp_path):
  folder = tmp_path / "manual"
  for name, content in (
    ("captures/Aria/Setup-A-1-STA.pcap", capture(2, 3)),
    ("captures/Aria/Setup-C-2-STA.pcap.gz", gzip.compress(capture(1))),
    ("captures/EdimaxCam1/Setup-A-1-STA.pcap", capture(4)),
    ("captures/EdimaxCam2/Setup-A-1-STA.pcap", capture(5)),
    ("iKettle2.Setup-A-1-STA.pcap", capture(6)),
    ("captures/Toaster/Setup-A-1-STA.pcap", capture(7)),
    ("captures/Aria/_iotdevice-mac.txt", b"00:00:00:00:00:00"),
  ):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  return folder


def test_devices_by_folder_or_by_name(manual_dir):
  found, left_out = find_captures(manual_dir)
  assert [(path.name, device, name) for path, device, name in found] == [
    ("Setup-A-1-STA.pcap", "Aria", "Aria"),
    ("Setup-C-2-STA.pcap.gz", "Aria", "Aria"),
    ("Setup-A-1-STA.pcap", "EdimaxCam", "EdimaxCam1"),
    ("Setup-A-1-STA.pcap", "EdimaxCam", "EdimaxCam2"),
    ("iKettle2.Setup-A-1-STA.pcap", "iKettle2", "iKettle2"),
  ]
  assert left_out == [str(manual_dir / "captures/Toaster/Setup-A-1-STA.pcap")]


@pytest.mark.parametrize(
  ("name", "device"),
  [
    ("WeMoSwitch2", "WeMoSwitch"),
    ("wemoinsightswitch", "WeMoInsightSwitch"),
    # The last digit is the device's own.
    ("iKettle2", "iKettle2"),
    ("TP-LinkPlugHS100", "TP-LinkPlugHS100"),
    ("TP-LinkPlugHS10", None),
    ("captures", None),
  ],
)
def test_devices_of_one_kind_are_numbered(name, device):
  assert device_of(name) == device


def test_there_are_27():
  assert len(set(DEVICES)) == len(DEVICES) == 27
  assert list(DEVICES) == sorted(DEVICES)


def test_folders_that_cannot_be_used_raise(tmp_path, manual_dir):
  (tmp_path / "none" / "Toaster").mkdir(parents=True)
  (tmp_path / "none" / "Toaster" / "a.pcap").write_bytes(capture(1))
  with pytest.raises(InputError, match="no capture of a known device, but Toaster"):
    find_captures(tmp_path / "none")
  again = manual_dir / "more" / "Aria" / "Setup-A-1-STA.pcap"
  again.parent.mkdir(parents=True)
  again.write_bytes(capture(1))
  with pytest.raises(InputError, match="of one device and have the same name"):
    find_captures(manual_dir)


def test_flows_of_all_captures(manual_dir, tmp_path):
  pytest.importorskip("tensorflow_datasets", reason="needs TFDS")
  from mtl_traffic import data

  flows = data.load(
    "iot_devices", 3, data_dir=str(tmp_path / "data"), manual_dir=str(manual_dir)
  )
  assert [
    (str(i), flows.class_names[c], int(n), int(b))
    for i, c, n, b in zip(
      flows.ids, flows.classes, flows.num_packets, flows.num_bytes, strict=True
    )
  ] == [
    # A packet has 28 bytes of headers, and as many of payload as its flow's number.
    ("Aria/Setup-A-1-STA.pcap#1", "Aria", 2, 2 * 29),
    ("Aria/Setup-A-1-STA.pcap#3", "Aria", 3, 3 * 30),
    ("Aria/Setup-C-2-STA.pcap.gz#1", "Aria", 1, 29),
    ("EdimaxCam1/Setup-A-1-STA.pcap#1", "EdimaxCam", 4, 4 * 29),
    ("EdimaxCam2/Setup-A-1-STA.pcap#1", "EdimaxCam", 5, 5 * 29),
    ("iKettle2/iKettle2.Setup-A-1-STA.pcap#1", "iKettle2", 6, 6 * 29),
  ]
  assert flows.packets.counts.tolist() == [2, 3, 1, 3, 3, 3]
  assert flows.partition_names == ("setup",) and flows.class_names == DEVICES
  assert data.rules_of("iot_devices")["udp_silence_s"] == 15
