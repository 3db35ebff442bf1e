"""Reads a flow in the original text form of the UC Davis QUIC dataset.

A file is a flow, and a line is a packet. Four fields are separated by tabs: Unix time
(s), time since the flow's first packet (s), length (bytes), and direction (1 = client →
server, 0 = back).
"""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from mtl_traffic.errors import InputError

_COLUMNS = {
  "unixtime": pa.float64(),
  "relative time": pa.float64(),
  "length": pa.int32(),
  "direction": pa.int8(),
}
# Stricter than Arrow, which accepts hexadecimal numbers, blanks, NaN and a byte order
# mark.
_ALLOWED_BYTES = b"0123456789.+-eE\t\r\n"
_REAL = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(rb"-?\d+")
_MAX_LENGTH = np.iinfo(np.int32).max
_MAX_SECONDS = 1e11  # Above it, float64 cannot represent microseconds.


class TextFlow(NamedTuple):
  """The first P packets of a flow, and the totals of all its packets.

  Attributes:
    times: `[P]` float64, seconds since the first packet, never decreasing.
    lengths: `[P]` int32, bytes.
    directions: `[P]` int8, +1 client → server, −1 server → client.
    num_packets: packets of the whole flow.
    duration: seconds from the first packet to the last.
    num_bytes: bytes of the whole flow.
    was_sorted: whether times went backwards and the packets had to be sorted.
  """

  times: np.ndarray
  lengths: np.ndarray
  directions: np.ndarray
  num_packets: int
  duration: float
  num_bytes: int
  was_sorted: bool


def read(path: str | os.PathLike, max_packets: int | None = None) -> TextFlow:
  """Reads a file; see `parse`."""
  try:
    content = pathlib.Path(path).read_bytes()
  except OSError as error:
    raise InputError(f"{path}: cannot be read: {error.strerror}") from error
  return parse(content, os.fspath(path), max_packets)


def parse(content: bytes, source: str, max_packets: int | None = None) -> TextFlow:
  """Parses the content of a file.

  If relative times go backwards, packets are sorted by them first. The sort is stable:
  packets of equal time keep their order.

  Args:
    content: the file's bytes.
    source: the name of the file in errors.
    max_packets: how many packets to keep; by default all. Totals count all packets.

  Raises:
    InputError: a line is invalid; names the source, the line, its field and the value.
  """
  if not content.strip():
    raise InputError(f"{source}: is empty; a flow needs at least one packet")
  if content.translate(None, _ALLOWED_BYTES):
    raise _fault(content, source)
  try:
    columns = _columns(content)
  except ValueError as error:
    raise _fault(content, source) from error
  return cut(*columns, [len(columns[0])], max_packets)[0]


def parse_many(
  contents: Sequence[bytes], sources: Sequence[str], max_packets: int | None = None
) -> list[TextFlow | InputError]:
  """Parses each file; returns the error in place of a flow if a file is invalid.

  Valid files are parsed together, as if they were one. This is faster, above all in
  threads: the interpreter lock is taken once instead of once per file.
  """
  joined = b"".join(c if c.endswith(b"\n") else c + b"\n" for c in contents)
  # A lone carriage return also ends a line; counting line feeds would then be wrong.
  if b"\r" not in joined and not joined.translate(None, _ALLOWED_BYTES):
    try:
      columns = _columns(joined)
    except ValueError:
      pass  # Some file is invalid; below they are parsed one by one.
    else:
      counts = [c.count(b"\n") + (not c.endswith(b"\n")) for c in contents]
      return cut(*columns, counts, max_packets)
  return [
    _flow_or_error(content, source, max_packets)
    for content, source in zip(contents, sources, strict=True)
  ]


def _flow_or_error(content, source, max_packets) -> TextFlow | InputError:
  try:
    return parse(content, source, max_packets)
  except InputError as error:
    return error


def _columns(content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Times, lengths and directions; raises ValueError if anything is wrong."""
  unix_times, times, lengths, directions = (
    column.to_numpy() for column in _table(content).columns
  )
  if not (
    (np.abs(unix_times) < _MAX_SECONDS).all()
    and (np.abs(times) < _MAX_SECONDS).all()
    and (lengths > 0).all()
    and (directions >> 1 == 0).all()
  ):
    raise ValueError("a value is out of its range")
  return times, lengths, 2 * directions - np.int8(1)


def cut(
  times: np.ndarray,
  lengths: np.ndarray,
  directions: np.ndarray,
  counts: Sequence[int],
  max_packets: int | None,
) -> list[TextFlow]:
  """Cuts concatenated packets into flows.

  Packets are sorted by time within their flow, see `parse`.

  Args:
    times: `[M]` float64, seconds.
    lengths: `[M]` int32, bytes.
    directions: `[M]` int8, +1 client → server, −1 server → client.
    counts: packets of each flow, above 0; they sum to M.
    max_packets: how many packets of each flow to keep.
  """
  ends = np.cumsum(counts)
  starts = ends - counts
  num_bytes = np.add.reduceat(lengths, starts, dtype=np.int64)
  steps_back = np.diff(times, append=np.inf) < 0
  steps_back[ends - 1] = False
  unsorted = set(np.searchsorted(ends, np.flatnonzero(steps_back), side="right"))
  flows = []
  for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
    kept = slice(start, end)
    if index in unsorted:
      kept = start + np.argsort(times[kept], kind="stable")
    ordered = times[kept]
    flows.append(
      TextFlow(
        times=ordered[:max_packets] - ordered[0],
        # Copied, since a view would keep the packets of all flows in memory.
        lengths=lengths[kept][:max_packets].copy(),
        directions=directions[kept][:max_packets].copy(),
        num_packets=len(ordered),
        duration=float(ordered[-1] - ordered[0]),
        num_bytes=int(num_bytes[index]),
        was_sorted=index in unsorted,
      )
    )
  return flows


def _table(content: bytes) -> pa.Table:
  return csv.read_csv(
    pa.BufferReader(content),
    csv.ReadOptions(column_names=list(_COLUMNS), use_threads=False),
    csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
    csv.ConvertOptions(column_types=_COLUMNS, null_values=[]),
  )


def _fault(content: bytes, source: str) -> InputError:
  """Finds the invalid line by checking the lines one by one."""
  for number, line in enumerate(content.splitlines(), start=1):
    problem = _problem(line)
    if problem:
      return InputError(f"{source}: line {number}: {problem}")
  return InputError(f"{source}: is not text of {len(_COLUMNS)} fields a line")


def _problem(line: bytes) -> str | None:
  fields = line.split(b"\t")
  if len(fields) != len(_COLUMNS):
    return (
      f"has {len(fields)} tab-separated fields, must have {len(_COLUMNS)} "
      f"({', '.join(_COLUMNS)})"
    )
  *reals, length, direction = fields
  for name, field in zip(_COLUMNS, reals, strict=False):
    if not (_REAL.fullmatch(field) and abs(float(field)) < _MAX_SECONDS):
      return f"{name} is {_shown(field)}, must be a number of seconds"
  if not (_WHOLE.fullmatch(length) and 1 <= _int(length) <= _MAX_LENGTH):
    return f"length is {_shown(length)}, must be a whole number of at least 1 byte"
  if not (_WHOLE.fullmatch(direction) and 0 <= _int(direction) <= 1):
    return f"direction is {_shown(direction)}, must be 0 or 1"
  return None


def _int(digits: bytes) -> int:
  # Python refuses to convert thousands of digits; 20 digits are too large already.
  return int(digits) if len(digits) <= 20 else _MAX_LENGTH + 1


def _shown(field: bytes) -> str:
  return repr(field)[1:] if len(field) <= 40 else repr(field[:40])[1:] + "…"
