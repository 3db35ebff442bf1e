"""Unpacks gzip on the fly, up to the very byte at which it is damaged.

The standard library's `gzip` drops what stands before the damage in its buffer.
"""

import zlib
from collections.abc import Callable
from typing import BinaryIO

_MAGIC = b"\x1f\x8b"
_PACKED_BYTES = 1 << 16
_GZIP_MEMBER = 31  # zlib's name for it in its window bits.

Fill = Callable[[memoryview], int]


class DamageError(OSError):
  """The file cannot be read on, though what came before can be used."""


def open_unpacked(file: BinaryIO, live: bool) -> Fill:
  """Looks whether a file is gzip.

  Returns:
    A function that puts the next unpacked bytes in a buffer and returns how many: if
    `live`, what a pipe has ready; 0 at the end. It raises `DamageError` or `OSError`
    when there is no going on.
  """
  start = file.read(len(_MAGIC))

  def fill(view: memoryview) -> int:
    nonlocal start
    if not start and not live:
      return file.readinto(view)
    # Not readinto1, which goes on to wait for more than what is in the file's buffer.
    piece = start[: len(view)] or file.read1(len(view))
    start = start[len(piece) :]
    view[: len(piece)] = piece
    return len(piece)

  return _Gunzip(fill) if start == _MAGIC else fill


class _Gunzip:
  """Unpacks the members of a gzip file, which may be padded with zeros."""

  def __init__(self, fill_packed: Fill):
    self._fill_packed = fill_packed
    self._packed = b""
    self._member = zlib.decompressobj(_GZIP_MEMBER)
    self._between_members = False
    self._damage: DamageError | None = None

  def __call__(self, view: memoryview) -> int:
    while self._damage is None:
      # What a full buffer kept from coming out comes out without further input.
      unpacked = self._unpack(len(view))
      if unpacked:
        view[: len(unpacked)] = unpacked
        return len(unpacked)
      if not self._packed and not self._read_packed():
        return 0
    raise self._damage

  def _read_packed(self) -> bool:
    piece = bytearray(_PACKED_BYTES)
    count = self._fill_packed(memoryview(piece))
    self._packed = bytes(piece[:count])
    if not count and not self._between_members:
      self._damage = DamageError("the gzip data ends early")
      return True
    return count > 0

  def _unpack(self, max_bytes: int) -> bytes:
    if self._between_members:
      self._packed = self._packed.lstrip(b"\0")
      if not self._packed:
        return b""
      self._member = zlib.decompressobj(_GZIP_MEMBER)
      self._between_members = False
    before = self._member.copy()
    try:
      unpacked = self._member.decompress(self._packed, max_bytes)
    except zlib.error as error:
      self._damage = DamageError(f"the gzip data is damaged ({error})")
      return _unpack_up_to_damage(before, self._packed)
    self._packed = self._member.unconsumed_tail
    if self._member.eof:
      self._packed = self._member.unused_data
      self._between_members = True
    return unpacked


def _unpack_up_to_damage(member, packed: bytes) -> bytes:
  unpacked = bytearray()
  for byte in packed:
    try:
      unpacked += member.decompress(bytes([byte]))
    except zlib.error:
      break
  return bytes(unpacked)
