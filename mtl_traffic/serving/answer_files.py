"""Files of answers that grow while traffic goes on: CSV, JSON lines or Parquet.

Whatever ends the run, what was written can be read: CSV and JSON lines hold complete
lines only, Parquet is closed with its footer.
"""

import abc
import csv
import io
import json
import os
import pathlib
import signal
import stat
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_traffic.errors import InputError

# Rows are columns by name: lists, or arrays of int64 ns since 1970 for those in TIMES.
Rows = Mapping[str, Sequence | np.ndarray]
TIMES = ("start_time", "time")

_ROWS_IN_GROUP = 4096
# Disk space that is taken before rows of a group are accepted, and for the footer.
_GROUP_BYTES, _FOOTER_BYTES = _ROWS_IN_GROUP * 512, 1 << 13


def open_answers(path: str | os.PathLike, schema: pa.Schema) -> "AnswerFile":
  """Opens a file by its suffix, `.csv`, `.jsonl` or `.parquet`, for writing.

  A pipe or a device, such as /dev/null, needs no suffix and then gets JSON lines.

  Raises:
    InputError: the suffix is another, something is in the file already, or it cannot be
      written.
  """
  path = pathlib.Path(path)
  check(path)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    return _kind(path)(path, schema)
  except OSError as error:
    raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def check(path: str | os.PathLike) -> None:
  """Raises an InputError if answers cannot go to a file of that name.

  As `open_answers` does, but before a model is loaded to give any.
  """
  path = pathlib.Path(path)
  _kind(path)
  if path.is_file() and path.stat().st_size:
    raise InputError(f"{path}: is there already; remove it, or give another file")


def _kind(path: pathlib.Path) -> "type[AnswerFile]":
  kinds = {".csv": _Csv, ".jsonl": _JsonLines, ".parquet": _Parquet}
  if path.exists() and not path.is_file() and not path.is_dir():
    kinds = {".csv": _Csv, ".jsonl": _JsonLines, "": _JsonLines}
  if path.suffix not in kinds:
    raise InputError(f"{path}: must end in {', '.join(filter(None, kinds))}")
  return kinds[path.suffix]


class AnswerFile(abc.ABC):
  """A file of rows, to be used as a context."""

  def __init__(self, path: pathlib.Path, schema: pa.Schema):
    self._path, self._schema = path, schema

  def write(self, rows: Rows) -> None:
    """Appends rows; columns that they lack are empty.

    Raises:
      InputError: they could not be written, all of them.
    """
    empty = [None] * len(next(iter(rows.values())))
    try:
      self._write([rows.get(name, empty) for name in self._schema.names])
    except OSError as error:
      raise InputError(
        f"{self._path}: cannot be written ({error.strerror}); the answers before are "
        "in it"
      ) from error

  @abc.abstractmethod
  def _write(self, columns: Sequence[Sequence | np.ndarray]) -> None: ...

  @abc.abstractmethod
  def close(self) -> None:
    """Makes the file readable, as far as it was written."""

  def __enter__(self) -> "AnswerFile":
    return self

  def __exit__(self, *problem) -> None:
    # A second Ctrl-C must not undo what the first one asked for.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
      self.close()
    finally:
      signal.signal(signal.SIGINT, before)


class _Lines(AnswerFile):
  """Text that is handed to the system in whole lines, at once."""

  def __init__(self, path: pathlib.Path, schema: pa.Schema):
    super().__init__(path, schema)
    # A pipe is opened for writing alone, or nobody would notice that its reader left.
    mode = os.O_RDWR if path.is_file() or not path.exists() else os.O_WRONLY
    self._file = os.open(path, mode | os.O_CREAT | os.O_TRUNC, 0o666)

  def _write(self, columns: Sequence[Sequence | np.ndarray]) -> None:
    shown = [
      np.datetime_as_string(column.astype("datetime64[ns]"), timezone="UTC")
      if name in TIMES
      else column
      for name, column in zip(self._schema.names, columns, strict=True)
    ]
    self._put(self._text(zip(*shown, strict=True)))

  @abc.abstractmethod
  def _text(self, rows: Iterable[Sequence]) -> str: ...

  def _put(self, text: str) -> None:
    rest = memoryview(text.encode())
    while rest:
      rest = rest[os.write(self._file, rest) :]

  def close(self) -> None:
    try:
      if stat.S_ISREG(os.fstat(self._file).st_mode):
        self._cut_last_line()
    finally:
      os.close(self._file)

  def _cut_last_line(self) -> None:
    """Cuts off what was written of a line when the disk was full."""
    end = size = os.fstat(self._file).st_size
    while end:
      begin = max(0, end - (1 << 16))
      place = os.pread(self._file, end - begin, begin).rfind(b"\n")
      end = begin if place < 0 else begin + place + 1
      if place >= 0:
        break
    if end < size:
      os.ftruncate(self._file, end)


class _Csv(_Lines):
  def __init__(self, path: pathlib.Path, schema: pa.Schema):
    super().__init__(path, schema)
    self._put(self._text([self._schema.names]))

  def _text(self, rows: Iterable[Sequence]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


class _JsonLines(_Lines):
  def _text(self, rows: Iterable[Sequence]) -> str:
    return "".join(
      json.dumps(dict(zip(self._schema.names, row, strict=True))) + "\n" for row in rows
    )


class _Parquet(AnswerFile):
  """Row groups; the space of a group is taken before its rows are accepted."""

  def __init__(self, path: pathlib.Path, schema: pa.Schema):
    super().__init__(path, schema)
    self._rows: list[pa.Table] = []
    self._num_rows = self._num_groups = 0
    # Also for reading and by number, so that its space can be reserved.
    self._file = open(path, "w+b")
    self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
    self._reserve()

  def _write(self, columns: Sequence[Sequence | np.ndarray]) -> None:
    arrays = [
      pa.array(column, field.type)
      for column, field in zip(columns, self._schema, strict=True)
    ]
    table = pa.table(arrays, self._schema)
    for first in range(0, len(table), _ROWS_IN_GROUP):
      part = table[first : first + _ROWS_IN_GROUP]
      if self._num_rows + len(part) > _ROWS_IN_GROUP:
        self._write_group()
        self._reserve()
      self._rows.append(part)
      self._num_rows += len(part)

  def _reserve(self) -> None:
    self._file.flush()
    wanted = _GROUP_BYTES + _FOOTER_BYTES * (self._num_groups + 2)
    os.posix_fallocate(self._file.fileno(), self._file.tell(), wanted)

  def _write_group(self) -> None:
    if self._rows:
      rows, self._rows, self._num_rows = pa.concat_tables(self._rows), [], 0
      self._writer.write_table(rows)
      self._num_groups += 1

  def close(self) -> None:
    try:
      self._write_group()
      self._writer.close()
      self._file.flush()
      self._file.truncate(self._file.tell())
    finally:
      self._file.close()
