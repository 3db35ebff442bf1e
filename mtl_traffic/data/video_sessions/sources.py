"""Reads video sessions in their published form."""

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from mtl_traffic.data import folders, text
from mtl_traffic.errors import InputError

CLASS_NAMES = ("bilibili-480", "bilibili-720", "twitch-480", "youtube-480")
_HEADER = b"rel_ts_us,len"
_LONGEST_FILE = 1 << 30  # Bytes; the published ones have a few million.
_MAX_LENGTH = 1 << 24  # Bytes of a packet; longer than on any link.
_MAX_MICROSECONDS = 10**15


class SessionFile(NamedTuple):
  """A file of sessions, and their class."""

  path: pathlib.Path
  class_name: str

  @property
  def name(self) -> str:
    """The prefix of its sessions' ids."""
    return f"{self.class_name}/{self.path.stem}"


def find_files(
  folder: str | os.PathLike,
) -> tuple[list[SessionFile], list[str]]:
  """Finds the files `<Platform>/<resolution>/*.csv` below a folder.

  Returns:
    The files of known classes, in alphabetical order, and the paths of other files.

  Raises:
    InputError: no file is of a known class, or a folder cannot be read.
  """
  found, left_out = [], []
  for path in map(pathlib.Path, folders.files_below(folder)):
    if path.suffix != ".csv":
      continue
    platform, resolution = path.absolute().parts[-3:-1]
    class_name = f"{platform.lower()}-{resolution.lower().removesuffix('p')}"
    if class_name in CLASS_NAMES:
      found.append(SessionFile(path, class_name))
    else:
      left_out.append(str(path))
  if not found:
    raise InputError(
      f"{folder}: holds no sessions of a known class, but {folders.contents(folder)}; "
      "give the folder of the published files, e.g. Youtube/480/480_merged_001.csv"
    )
  return found, left_out


def read_sessions(
  path: str | os.PathLike, max_packets: int | None = None
) -> list[tuple[str, text.TextFlow]]:
  """Reads the sessions of a file, each with its id; see `text.cut`.

  Raises:
    InputError: a line is invalid; names the file, the line and the problem.
  """
  try:
    with open(path, "rb") as file:
      content = file.read(_LONGEST_FILE + 1)
  except OSError as error:
    raise InputError(f"{path}: cannot be read: {error.strerror}") from error
  if len(content) > _LONGEST_FILE:
    raise InputError(f"{path}: has over {_LONGEST_FILE} bytes; remove it")
  before, *parts = re.split(rb"^session,", content, flags=re.MULTILINE)
  if before.strip() or not parts:
    raise InputError(f"{path}: line 1: must be session,<id>")
  sessions, line = [], 1
  seen = set()
  for part in parts:
    name, times, lengths = _session(part, f"{path}: line", line)
    if name in seen:
      raise InputError(f"{path}: line {line}: session {name} is there twice")
    seen.add(name)
    directions = np.sign(lengths).astype(np.int8)
    (flow,) = text.cut(
      times / 1e6, np.abs(lengths).astype(np.int32), directions, [len(times)],
      max_packets,
    )  # fmt: skip
    sessions.append((name, flow))
    line += part.count(b"\n")
  return sessions


def _session(part: bytes, where: str, line: int) -> tuple[str, np.ndarray, np.ndarray]:
  """Parses what follows `session,`: id, times in µs and signed lengths."""
  first, _, rest = part.partition(b"\n")
  header, _, rest = rest.partition(b"\n")
  name = first.strip().decode(errors="backslashreplace")
  if not name:
    raise InputError(f"{where} {line}: the session has no id")
  if header.strip() != _HEADER:
    raise InputError(f"{where} {line + 1}: must be {_HEADER.decode()}")
  if not rest.strip():
    raise InputError(f"{where} {line}: session {name} has no packets")
  try:
    times, lengths = (column.to_numpy() for column in _table(rest).columns)
    sizes = np.abs(lengths)
    if (
      (sizes > 0) & (sizes <= _MAX_LENGTH) & (np.abs(times) < _MAX_MICROSECONDS)
    ).all():
      return name, times, lengths
  except pa.ArrowException:
    pass
  raise _fault(rest, where, line + 2)


def _table(rows: bytes) -> pa.Table:
  names = _HEADER.decode().split(",")
  return csv.read_csv(
    pa.BufferReader(rows),
    csv.ReadOptions(column_names=names, use_threads=False),
    csv.ParseOptions(quote_char=False),
    csv.ConvertOptions(column_types=dict.fromkeys(names, pa.int64()), null_values=[]),
  )


def _fault(rows: bytes, where: str, line: int) -> InputError:
  for number, row in enumerate(rows.split(b"\n"), start=line):
    cells = re.fullmatch(rb"(-?\d{1,18}),(-?\d{1,18})", row.strip())
    if row.strip() and not (
      cells
      and abs(int(cells[1])) < _MAX_MICROSECONDS
      and 0 < abs(int(cells[2])) <= _MAX_LENGTH
    ):
      shown = repr(row[:40])[1:]
      return InputError(f"{where} {number}: {shown} must be whole µs and bytes, not 0")
  return InputError(f"{where} {line}: the packets of this session cannot be read")
