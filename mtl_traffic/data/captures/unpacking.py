"""Unpacks gzip, bzip2, xz and Zstandard on the fly, up to where they are damaged.

What a file is packed with is seen by its first bytes. The standard library's readers
drop what stands before the damage in their buffers.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO

import pyarrow as pa

_PACKED_BYTES = 1 << 16
_PIECE = 1 << 9  # Of packed data; what unpacks from one is lost if it is damaged.
_ZSTANDARD_PIECE = 1 << 12  # Of unpacked data.
_GZIP_MEMBER = 31  # zlib's name for it in its window bits.
_LONGEST_MAGIC = 6

Fill = Callable[[memoryview], int]


class DamageError(OSError):
  """The file cannot be read on, though what came before can be used."""


def open_unpacked(file: BinaryIO) -> tuple[Fill, bool]:
  """Looks whether a file is packed.

  Returns:
    A function that puts the next unpacked bytes in a buffer and returns how many: of an
    unbuffered pipe, what it has ready; 0 at the end. It raises `DamageError` or
    `OSError` when there is no going on. And whether the file is packed.
  """
  start = b""
  while len(start) < _LONGEST_MAGIC:
    more = file.read(_LONGEST_MAGIC - len(start))
    if not more:
      break
    start += more
  whole = _Whole(file, start)
  for magic, kind in _KINDS.items():
    if start.startswith(magic):
      return kind(whole), True
  return whole.fill, False


class _Whole:
  """A file of which the start was read already."""

  def __init__(self, file: BinaryIO, start: bytes):
    self._file, self._start = file, start

  def fill(self, view: memoryview) -> int:
    if not self._start:
      return self._file.readinto(view)
    piece = self._start[: len(view)]
    self._start = self._start[len(piece) :]
    view[: len(piece)] = piece
    return len(piece)


class _Members:
  """Unpacks the members of a packed file, which may be padded with zeros."""

  def __init__(self, whole: _Whole, name: str, new_member: Callable, errors):
    self._fill_packed = whole.fill
    self._name, self._new_member, self._errors = name, new_member, errors
    self._packed = b""
    self._member = new_member()
    self._between_members = False
    self._damage: DamageError | None = None

  def __call__(self, view: memoryview) -> int:
    while self._damage is None:
      # What a full buffer kept from coming out comes out without further input.
      unpacked = self._unpack(len(view))
      if unpacked:
        view[: len(unpacked)] = unpacked
        return len(unpacked)
      is_hungry = self._between_members or self._member.needs_input
      if is_hungry and not self._packed and not self._read_packed():
        return 0
    raise self._damage

  def _read_packed(self) -> bool:
    piece = bytearray(_PACKED_BYTES)
    count = self._fill_packed(memoryview(piece))
    self._packed = bytes(piece[:count])
    if not count and not self._between_members:
      self._damage = DamageError(f"the {self._name} data ends early")
      return True
    return count > 0

  def _unpack(self, max_bytes: int) -> bytes:
    if self._between_members:
      self._packed = self._packed.lstrip(b"\0")
      if not self._packed:
        return b""
      self._member = self._new_member()
      self._between_members = False
    piece_bytes = getattr(self._member, "piece_bytes", _PIECE)
    piece = self._packed[:piece_bytes] if self._member.needs_input else b""
    try:
      unpacked = self._member.decompress(piece, max_bytes)
    except self._errors as error:
      self._damage = DamageError(f"the {self._name} data is damaged ({error})")
      return getattr(self._member, "before_damage", b"")
    self._packed = self._packed[len(piece) :]
    if self._member.eof:
      self._packed = self._member.unused_data + self._packed
      self._between_members = True
    return unpacked


class _GzipMember:
  """zlib's object with the manners of those of bzip2 and xz."""

  piece_bytes = _PACKED_BYTES  # As nothing is lost of a damaged one.

  def __init__(self):
    self._object = zlib.decompressobj(_GZIP_MEMBER)
    self.before_damage = b""

  @property
  def needs_input(self) -> bool:
    return not self._object.unconsumed_tail

  @property
  def eof(self) -> bool:
    return self._object.eof

  @property
  def unused_data(self) -> bytes:
    return self._object.unused_data

  def decompress(self, data: bytes, max_bytes: int) -> bytes:
    data = self._object.unconsumed_tail + data
    before = self._object.copy()
    try:
      return self._object.decompress(data, max_bytes)
    except zlib.error:
      self.before_damage = _unpack_up_to_damage(before, data)
      raise


def _unpack_up_to_damage(member, packed: bytes) -> bytes:
  unpacked = bytearray()
  for byte in packed:
    try:
      unpacked += member.decompress(bytes([byte]))
    except zlib.error:
      break
  return bytes(unpacked)


class _Zstandard:
  """Unpacks Zstandard as Arrow does, which is there anyway."""

  def __init__(self, whole: _Whole):
    self._stream = pa.CompressedInputStream(
      pa.PythonFile(_Readable(whole), mode="r"), "zstd"
    )

  def __call__(self, view: memoryview) -> int:
    try:
      # All of a piece is lost that holds damage.
      piece = self._stream.read(min(len(view), _ZSTANDARD_PIECE))
    except (OSError, pa.ArrowException) as error:
      raise DamageError(f"the Zstandard data is damaged ({error})") from error
    view[: len(piece)] = piece
    return len(piece)


class _Readable:
  """A file as Arrow reads it."""

  closed = False

  def __init__(self, whole: _Whole):
    self._whole = whole

  def read(self, count: int) -> bytes:
    piece = bytearray(count)
    return bytes(piece[: self._whole.fill(memoryview(piece))])

  def close(self) -> None:
    pass


_KINDS: dict[bytes, Callable[[_Whole], Fill]] = {
  b"\x1f\x8b": lambda whole: _Members(whole, "gzip", _GzipMember, zlib.error),
  b"BZh": lambda whole: _Members(whole, "bzip2", bz2.BZ2Decompressor, OSError),
  b"\xfd7zXZ\0": lambda whole: _Members(
    whole, "xz", lzma.LZMADecompressor, lzma.LZMAError
  ),
  b"\x28\xb5\x2f\xfd": _Zstandard,
}
