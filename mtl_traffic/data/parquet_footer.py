"""Reads the unpacked size of a Parquet file from its footer.

PyArrow can read it too, but it aborts the process if a damaged footer contradicts
itself.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO

_MAGIC = b"PAR1"
_DEEPEST = 32
# Fields of the footer's structures, with their numbers in parquet.thrift.
_ROW_GROUPS, _COLUMNS, _COLUMN, _NUM_VALUES, _UNPACKED_BYTES = 4, 1, 3, 5, 6
# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _SHORT, _LONG, _DOUBLE, _BINARY = 1, 2, 3, 4, 6, 7, 8
_LIST, _SET, _MAP, _STRUCT, _UUID = 9, 10, 11, 12, 13


def unpacked_size(file: BinaryIO) -> tuple[int, int]:
  """The number of values in a file, and their size in bytes when unpacked.

  Raises:
    ValueError: the footer is missing or damaged.
  """
  end = file.seek(0, os.SEEK_END)
  file.seek(max(end - 8, 0))
  tail = file.read(8)
  length = int.from_bytes(tail[:4], "little")
  if tail[4:] != _MAGIC or length > end - 8:
    raise ValueError("it has no footer")
  file.seek(end - 8 - length)
  reader = _Reader(file.read(length))
  num_values = num_bytes = 0
  try:
    for _ in reader.elements_of(_ROW_GROUPS):
      for _ in reader.elements_of(_COLUMNS):
        values, size = reader.column()
        num_values += values
        num_bytes += max(8 * values, size)
  except IndexError:
    raise ValueError("its footer is cut short") from None
  return num_values, num_bytes


class _Reader:
  """Reads Thrift's compact protocol from start to end."""

  def __init__(self, data: bytes):
    self._data, self._at = data, 0

  def elements_of(self, wanted: int) -> Iterator[None]:
    """Yields at each structure in the list of that field; skips other fields."""
    for field, kind in self._fields():
      if field == wanted and kind == _LIST:
        count, element = self._list_header()
        if element != _STRUCT:
          raise ValueError("its footer is damaged")
        for _ in range(count):
          yield
      else:
        self._skip(kind)

  def column(self) -> tuple[int, int]:
    """The number of values and unpacked bytes of the column chunk that begins here."""
    found = {}
    for field, kind in self._fields():
      if field != _COLUMN or kind != _STRUCT:
        self._skip(kind)
        continue
      for of_column, of_kind in self._fields():
        if of_column in (_NUM_VALUES, _UNPACKED_BYTES) and of_kind == _LONG:
          found[of_column] = self._signed()
        else:
          self._skip(of_kind)
    values, size = (found.get(name, 0) for name in (_NUM_VALUES, _UNPACKED_BYTES))
    if values < 0 or size < 0:
      raise ValueError("its footer is damaged")
    return values, size

  def _fields(self) -> Iterator[tuple[int, int]]:
    field = 0
    while head := self._byte():
      field = field + (head >> 4) if head >> 4 else self._signed()
      yield field, head & 0x0F

  def _skip(self, kind: int, depth: int = 0) -> None:
    if depth > _DEEPEST:
      raise ValueError("its footer is too deep")
    if kind in (_TRUE, _FALSE):
      return
    if kind == _BYTE:
      self._at += 1
    elif _SHORT <= kind <= _LONG:
      self._varint()
    elif kind == _DOUBLE:
      self._at += 8
    elif kind == _UUID:
      self._at += 16
    elif kind == _BINARY:
      size = self._varint()
      self._at += size
    elif kind in (_LIST, _SET):
      count, element = self._list_header()
      # As elements, booleans take a byte each.
      element = _BYTE if element in (_TRUE, _FALSE) else element
      for _ in range(count):
        self._skip(element, depth + 1)
    elif kind == _MAP:
      count = self._varint()
      kinds = self._byte() if count else 0
      for _ in range(count):
        self._skip(kinds >> 4, depth + 1)
        self._skip(kinds & 0x0F, depth + 1)
    elif kind == _STRUCT:
      for _, inner in self._fields():
        self._skip(inner, depth + 1)
    else:
      raise ValueError("its footer is damaged")
    if self._at > len(self._data):
      raise IndexError

  def _list_header(self) -> tuple[int, int]:
    head = self._byte()
    count = head >> 4
    if count == 15:
      count = self._varint()
    if count > len(self._data) - self._at:  # Each element takes a byte at least.
      raise IndexError
    return count, head & 0x0F

  def _byte(self) -> int:
    value = self._data[self._at]
    self._at += 1
    return value

  def _varint(self) -> int:
    value = shift = 0
    while True:
      byte = self._byte()
      value |= (byte & 0x7F) << shift
      if byte < 0x80:
        return value
      shift += 7
      if shift > 63:
        raise ValueError("its footer is damaged")

  def _signed(self) -> int:
    value = self._varint()
    return value >> 1 ^ -(value & 1)
