"""Tests of `mtl_traffic.data.captures.reading`."""

import gzip
import io
import os
import random
import struct
import threading

import pytest

from mtl_traffic.data import captures
from mtl_traffic.data.captures import reading
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.errors import InputError
from tests.data import capture_files as files

START = 1_600_000_000 * files.SECOND
PACKETS = [
  (START, b"one"),
  (START + 123_456_000, b"second"),
  (START + 2 * files.SECOND, b""),
  (START + 2 * files.SECOND, bytes(range(200))),
]
EXPECTED = [(i + 1, t, len(p), p) for i, (t, p) in enumerate(PACKETS)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("chunk_bytes", [32, 100, 1 << 16])
def test_pcap_of_each_kind(order, nano, chunk_bytes):
  content = files.pcap(PACKETS, order=order, nano=nano)
  packets, accounts = files.read(content, chunk_bytes)
  assert packets == EXPECTED
  assert accounts.num_packets == 4 and not accounts.warnings


def test_a_chunk_of_many_packets_is_split_into_equal_batches(monkeypatch):
  monkeypatch.setattr(reading, "_PACKETS_AT_ONCE", 10)
  content = files.pcap([(START + n * files.SECOND, b"x") for n in range(21)])
  batches = read_packets(io.BytesIO(content), "capture", captures.Accounts())
  numbers = [batch.numbers.tolist() for batch in batches]
  assert [len(of_batch) for of_batch in numbers] == [7, 7, 7]
  assert [n for of_batch in numbers for n in of_batch] == list(range(1, 22))


def test_nanoseconds_are_exact():
  content = files.pcap([(START + 1, b"x"), (START + 999_999_999, b"y")], nano=True)
  assert [time - START for _, time, _, _ in files.read(content)[0]] == [1, 999_999_999]


def test_snap_length_keeps_the_length_on_the_wire():
  packets, _ = files.read(files.pcap(PACKETS, snap_length=4))
  assert [(length, data) for _, _, length, data in packets] == [
    (3, b"one"),
    (6, b"seco"),
    (0, b""),
    (200, bytes(range(4))),
  ]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("chunk_bytes", [32, 100, 1 << 16])
def test_pcapng_with_interfaces_and_sections(order, chunk_bytes):
  other = "<>"[order == "<"]
  us = START // 1000
  content = b"".join(
    [
      files.section(order),
      files.interface(order=order),
      files.enhanced(us, b"micro", order=order),
      files.block(5, b"statistics", order),
      # 10^-9 s, 2^-10 s, and an origin 100 s later in 10^-3 s.
      files.interface(order=order, resolution=9),
      files.interface(order=order, resolution=0x8A),
      files.interface(order=order, resolution=3, offset=100),
      files.enhanced(START + 7, b"nano", 1, order),
      files.enhanced((1_600_000_000 << 10) + 512, b"binary", 2, order),
      files.enhanced(1_600_000_000_250, b"later", 3, order),
      files.section(other),
      files.interface(order=other),
      files.enhanced(us + 1, b"other", order=other),
    ]
  )
  packets, accounts = files.read(content, chunk_bytes)
  assert packets == [
    (1, START, 5, b"micro"),
    (2, START + 7, 4, b"nano"),
    (3, START + files.SECOND // 2, 6, b"binary"),
    (4, START + 100 * files.SECOND + 250_000_000, 5, b"later"),
    (5, START + 1000, 5, b"other"),
  ]
  assert not accounts.warnings


def test_pcapng_old_and_simple_packets():
  us = START // 1000
  stamp = struct.pack("<HHIIII", 0, 0, us >> 32, us & 0xFFFFFFFF, 3, 9)
  content = files.section() + files.interface()
  content += files.block(2, stamp + b"old") + files.block(
    3, struct.pack("<I", 3) + b"s"
  )
  packets, accounts = files.read(content)
  assert packets == [(1, START, 9, b"old")]
  assert accounts.num_packets == 2
  assert accounts.skipped == {"no time, or an impossible one": 1}


def test_pcapng_packets_without_sense_are_counted():
  far = files.enhanced((1 << 64) - 1, b"year 586524")
  unknown = files.enhanced(0, b"of no interface", number=1)
  too_long = bytearray(files.enhanced(0, b"long"))
  too_long[20:24] = struct.pack("<I", 5)
  content = files.section() + files.interface() + far + unknown + bytes(too_long)
  packets, accounts = files.read(content)
  assert packets == []
  assert accounts.num_packets == 3
  assert accounts.skipped == {
    "damaged record": 2,
    "no time, or an impossible one": 1,
  }


@pytest.mark.parametrize("chunk_bytes", [32, 1 << 16])
def test_gzip_of_several_members_with_padding(chunk_bytes):
  content = files.pcap(PACKETS)
  packed = gzip.compress(content[:50]) + gzip.compress(content[50:]) + bytes(9)
  packets, accounts = files.read(packed, chunk_bytes)
  assert packets == EXPECTED and not accounts.warnings


def test_what_stands_before_damaged_gzip_data_is_read():
  # Always the same bytes: where unpacking notices the damage depends on them.
  many = [(START + i, random.Random(i).randbytes(50)) for i in range(500)]
  packed = bytearray(gzip.compress(files.pcap(many, nano=True)))
  packed[-4000] ^= 0xFF
  packets, accounts = files.read(bytes(packed))
  whole, _ = files.read(files.pcap(many, nano=True))
  assert len(packets) > 400 and packets[:400] == whole[:400]
  (warning,) = accounts.warnings
  assert "gzip" in warning and "byte" in warning


@pytest.mark.parametrize("packed", [False, True])
def test_capture_cut_short(packed):
  content = files.pcap(PACKETS)
  cut = gzip.compress(content)[:-12] if packed else content[:-1]
  packets, accounts = files.read(cut)
  assert packets[:3] == EXPECTED[:3] and len(packets) <= 4
  (warning,) = accounts.warnings
  assert "capture: " in warning and "byte" in warning


def test_damage_ends_reading_with_its_place():
  content = bytearray(files.pcap(PACKETS))
  third = 24 + 16 + 3 + 16 + 6
  content[third + 8 : third + 12] = b"\xff\xff\xff\xff"
  packets, accounts = files.read(bytes(content))
  assert packets == EXPECTED[:2]
  assert f"damaged at byte {third}" in accounts.warnings[0]


@pytest.mark.parametrize("at", [4, -4])
def test_damaged_block_length_ends_reading_with_its_place(at):
  begin = files.section() + files.interface() + files.enhanced(1, b"good")
  bad = bytearray(files.enhanced(2, b"bad."))
  bad[at % len(bad)] += 4
  content = begin + bytes(bad) + files.enhanced(3, b"good")
  packets, accounts = files.read(content)
  assert [data for *_, data in packets] == [b"good"]
  assert f"damaged at byte {len(begin)}" in accounts.warnings[0]


@pytest.mark.parametrize(
  "content", [b"", b"P", b"not a capture" * 9, files.pcap([])[:20], b"\x1f\x8bxx"]
)
def test_what_is_no_capture_raises(content):
  with pytest.raises(InputError, match=r"capture: not a pcap or pcapng") as error:
    files.read(content)
  assert "\n" not in str(error.value)


def test_missing_file_raises(tmp_path):
  with pytest.raises(InputError, match=r"none\.pcap: No such file"):
    list(captures.read_flows(tmp_path / "none.pcap", captures.Accounts()))


def test_live_pipe_yields_what_is_there():
  reader, writer = os.pipe()
  content = files.pcap(PACKETS)
  first = 24 + 16 + 3
  with open(reader, "rb") as pipe, open(writer, "wb", buffering=0) as end:
    end.write(content[:first])
    batches = read_packets(pipe, "pipe", captures.Accounts(), live=True)
    assert len(next(batches).times) == 1
    rest = threading.Thread(target=lambda: (end.write(content[first:]), end.close()))
    rest.start()
    assert sum(len(batch.times) for batch in batches) == 3
    rest.join()
