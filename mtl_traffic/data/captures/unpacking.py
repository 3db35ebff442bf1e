"""Decompresses gzip, bzip2, xz and Zstandard on the fly, up to any damage.

The first bytes of a file tell the format. The standard library's readers are not used,
because they drop the buffered data before the damage.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO

import pyarrow as pa

_PACKED_BYTES = 1 << 16
_PIECE = 1 << 9  # Packed bytes decompressed at a time; a damaged piece is lost.
_ZSTANDARD_PIECE = 1 << 12  # Unpacked bytes at a time.
_GZIP_MEMBER = 31  # zlib's window bits for a gzip member.
_LONGEST_MAGIC = 6

Fill = Callable[[memoryview], int]


class DamageError(OSError):
  """The file is damaged; the data before the damage can be used."""


def open_unpacked(file: BinaryIO) -> tuple[Fill, bool]:
  """Opens a file for reading and detects whether it is compressed.

  Returns:
    A function, and whether the file is compressed. The function puts the next unpacked
    bytes in a buffer and returns their number, 0 at the end; of an unbuffered pipe it
    takes the bytes that are ready. It raises `DamageError` or `OSError` if it cannot
    continue.
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
  """A file whose first bytes were read already."""

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
  """Unpacks the members of a compressed file, which may be padded with zeros."""

  def __init__(self, whole: _Whole, name: str, new_member: Callable, errors):
    self._fill_packed = whole.fill
    self._name, self._new_member, self._errors = name, new_member, errors
    self._packed = b""
    self._member = new_member()
    self._between_members = False
    self._damage: DamageError | None = None

  def __call__(self, view: memoryview) -> int:
    while self._damage is None:
      # Output that did not fit the buffer comes first, without further input.
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
  """zlib's decompressor with the interface of those of bzip2 and xz."""

  piece_bytes = _PACKED_BYTES  # Nothing before the damage in a piece is lost.

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
  """Unpacks Zstandard with Arrow, which is installed anyway."""

  def __init__(self, whole: _Whole):
    self._stream = pa.CompressedInputStream(
      pa.PythonFile(_Readable(whole), mode="r"), "zstd"
    )

  def __call__(self, view: memoryview) -> int:
    try:
      # A piece with damage is lost completely.
      piece = self._stream.read(min(len(view), _ZSTANDARD_PIECE))
    except (OSError, pa.ArrowException) as error:
      raise DamageError(f"the Zstandard data is damaged ({error})") from error
    view[: len(piece)] = piece
    return len(piece)


class _Readable:
  """A file object for Arrow."""

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
