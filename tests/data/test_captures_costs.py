"""Captures that were made to cost time: the time is that of their bytes."""

import io

import pytest

from mtl_traffic.data.captures import Accounts
from mtl_traffic.data.captures.reading import read_packets
from tests.data.capture_files import (
  block,
  enhanced,
  interface,
  ip_packet,
  read,
  section,
)

COUNT = 3000
PACKET = ip_packet()


def _unknown_blocks():
  yield section() + interface()
  for number in range(COUNT):
    yield enhanced(number, PACKET) + block(0x999, b"")


def _sections():
  for number in range(COUNT):
    yield section() + interface() + enhanced(number, PACKET)


def _interfaces():
  yield section()
  for number in range(COUNT):
    yield interface() + enhanced(number, PACKET, number)


def _kinds():
  old = ip_packet(source_port=7)
  for number in range(COUNT // 2):
    if number == 0:
      yield section() + interface()
    yield enhanced(2 * number, PACKET)
    length = len(old).to_bytes(4, "little")
    ticks = (2 * number + 1).to_bytes(4, "little")
    yield block(2, bytes(8) + ticks + length + length + old)


@pytest.mark.parametrize("blocks", [_unknown_blocks, _sections, _interfaces, _kinds])
def test_whatever_stands_between_packets_they_come_in_few_batches(blocks):
  content = b"".join(blocks())
  batches = read_packets(io.BytesIO(content), "capture", Accounts())
  sizes = [len(batch.times) for batch in batches]
  assert sum(sizes) == COUNT
  # A batch costs a millisecond, whatever is in it.
  assert len(sizes) <= 2
  for chunk_bytes in (1 << 22, 1 << 10):
    packets, accounts = read(content, chunk_bytes)
    assert [(number, time) for number, time, *_ in packets] == [
      (number + 1, 1000 * number) for number in range(COUNT)
    ]
    assert not accounts.skipped and not accounts.warnings


def test_an_interface_of_another_section_is_not_known():
  content = (
    (section() + interface(offset=5) + interface(offset=7))
    + enhanced(0, PACKET, 1)
    + (section() + interface(offset=9))
    + (enhanced(0, PACKET, 1) + enhanced(0, PACKET, 0) + interface(offset=11))
    + enhanced(0, PACKET, 1)
    + (section(">") + interface(offset=13, order=">") + enhanced(0, PACKET, 0, ">"))
  )
  for chunk_bytes in (1 << 16, 64):
    packets, accounts = read(content, chunk_bytes)
    assert [(number, time // 10**9) for number, time, *_ in packets] == [
      (1, 7),
      (3, 9),
      (4, 11),
      (5, 13),
    ]
    assert accounts.skipped == {"damaged record": 1}


def test_too_many_interfaces_are_one_warning(monkeypatch):
  from mtl_traffic.data.captures import reading

  monkeypatch.setattr(reading, "_MOST_INTERFACES", 100)
  content = section() + 200 * interface() + enhanced(0, PACKET)
  _, accounts = read(content)
  (warning,) = accounts.warnings
  assert "a section of more than 100 interfaces" in warning
