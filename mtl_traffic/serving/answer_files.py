"""Writes answers to CSV, JSON lines or Parquet files while traffic goes on.

The answers stay readable however the run ends. CSV and JSON lines hold complete lines
only. Parquet cannot be read without its footer, so its rows are kept in a journal, and
the file is written when it is closed. If a process was killed, its journal is converted
to its file the next time that file is to be written.
"""

import abc
import contextlib
import io
import json
import os
import pathlib
import signal
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_traffic import files
from mtl_traffic.errors import InputError
from mtl_traffic.tables import csv_text

# Rows are columns by name: lists, or int64 arrays in ns since 1970 for those in TIMES.
Rows = Mapping[str, Sequence | np.ndarray]
TIMES = ("start_time", "time")
STANDARD_OUTPUT = pathlib.Path("-")
VERSION = "version"  # A key in a schema's metadata and in each JSON line.

# Signals that ask a process to end; they may be sent more than once.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_ROWS_IN_GROUP = 1 << 14
# Disk space reserved for the file; the journal is larger.
_RESERVED_AT_ONCE, _FOOTER_BYTES = 1 << 20, 1 << 15


def open_answers(
  path: str | os.PathLike, schema: pa.Schema, append: bool = False
) -> "AnswerFile":
  """Opens a file for writing; the suffix `.csv`, `.jsonl` or `.parquet` is its format.

  Standard output, "-", gets JSON lines. So does a pipe or a device, such as /dev/null,
  without a suffix.

  Args:
    path: the file.
    schema: its columns.
    append: whether to append to existing CSV or JSON lines.

  Raises:
    InputError: the suffix is unknown, the file exists and is not to be appended to,
      another process is writing it, or it cannot be written.
  """
  path = pathlib.Path(path)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    return _kind(path)(path, schema, append)
  except OSError as error:
    raise InputError(
      f"{shown(path)}: cannot be written ({files.reason(error)})"
    ) from error


def check(path: str | os.PathLike, append: bool = False) -> None:
  """Raises an InputError if answers cannot be written to a file of that name.

  Makes the checks of `open_answers` early, before a model is loaded.
  """
  path = pathlib.Path(path)
  kind = _kind(path)
  if is_file(path) and path.exists():
    with path.open("rb") as file:
      _take(path, file.fileno(), append and kind is not _Parquet)


def is_file(path: str | os.PathLike) -> bool:
  """Whether the path is a file, not a pipe or a device."""
  path = pathlib.Path(path)
  return path != STANDARD_OUTPUT and (path.is_file() or not path.exists())


def shown(path: str | os.PathLike) -> str:
  """The name of a file of answers in messages."""
  return "standard output" if pathlib.Path(path) == STANDARD_OUTPUT else str(path)


def _kind(path: pathlib.Path) -> "type[AnswerFile]":
  kinds = {".csv": _Csv, ".jsonl": _JsonLines, ".parquet": _Parquet}
  if path == STANDARD_OUTPUT:
    return _JsonLines
  if not is_file(path) and not path.is_dir():
    kinds = {".jsonl": _JsonLines, "": _JsonLines, ".csv": _Csv}
  if path.suffix not in kinds:
    raise InputError(f"{path}: must end in {', '.join(filter(None, kinds))}")
  return kinds[path.suffix]


def _take(path: pathlib.Path, file: int, append: bool) -> None:
  """Locks an open file; raises if another process writes it, or if it has content."""
  if not stat.S_ISCHR(os.fstat(file).st_mode) and not files.try_lock(file):
    raise InputError(f"{path}: another process is writing it")
  if os.fstat(file).st_size and not append:
    raise InputError(
      f"{path}: is there already; remove it, give another file, or go on with it "
      "(CSV and JSON lines)"
    )


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
  """Ignores what asks this process to end; so do processes that are started in it."""
  before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDINGS}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


class AnswerFile(abc.ABC):
  """A file of rows; use it as a context manager."""

  def __init__(self, path: pathlib.Path, schema: pa.Schema):
    self._path, self._schema = path, schema

  @property
  @abc.abstractmethod
  def num_bytes(self) -> int:
    """The approximate current size in bytes."""

  def write(self, rows: Rows) -> None:
    """Appends rows; missing columns are left empty.

    Raises:
      InputError: not all rows could be written.
    """
    empty = [None] * len(next(iter(rows.values())))
    try:
      self._write([rows.get(name, empty) for name in self._schema.names])
    except OSError as error:
      raise InputError(
        f"{shown(self._path)}: cannot be written ({files.reason(error)}); the answers "
        "before are in it"
      ) from error

  @abc.abstractmethod
  def _write(self, columns: Sequence[Sequence | np.ndarray]) -> None: ...

  @abc.abstractmethod
  def close(self) -> None:
    """Closes the file, so that all written rows can be read."""

  def __enter__(self) -> "AnswerFile":
    return self

  def __exit__(self, *problem) -> None:
    # A second Ctrl-C must not undo what the first one asked for.
    with uninterrupted():
      self.close()


class _Lines(AnswerFile):
  """Writes whole lines to the system, without buffering."""

  def __init__(self, path: pathlib.Path, schema: pa.Schema, append: bool):
    super().__init__(path, schema)
    if path == STANDARD_OUTPUT:
      self._file = os.dup(sys.stdout.fileno())
      return
    # A pipe is opened only for writing; otherwise a reader that left is not noticed.
    mode = os.O_RDWR | os.O_APPEND if is_file(path) else os.O_WRONLY
    self._file = os.open(path, mode | os.O_CREAT, 0o666)
    try:
      _take(path, self._file, append)
      if self.num_bytes:
        _cut_last_line(self._file)  # A killed process may have left part of a line.
    except BaseException:
      os.close(self._file)
      raise

  @property
  def num_bytes(self) -> int:
    return os.fstat(self._file).st_size

  def _write(self, columns: Sequence[Sequence | np.ndarray]) -> None:
    shown = [
      np.datetime_as_string(column.astype("datetime64[ns]"), timezone="UTC")
      if name in TIMES
      else column
      for name, column in zip(self._schema.names, columns, strict=True)
    ]
    _put(self._file, self._text(zip(*shown, strict=True)).encode())

  def _first_line(self) -> str:
    """The first line of an existing file; "" for a new one."""
    first, *_ = os.pread(self._file, 1 << 16, 0).split(b"\n")
    return first.decode(errors="replace")

  @abc.abstractmethod
  def _text(self, rows: Iterable[Sequence]) -> str: ...

  def close(self) -> None:
    try:
      if self._path != STANDARD_OUTPUT and stat.S_ISREG(os.fstat(self._file).st_mode):
        _cut_last_line(self._file)
    finally:
      os.close(self._file)


class _Csv(_Lines):
  def __init__(self, path: pathlib.Path, schema: pa.Schema, append: bool):
    super().__init__(path, schema, append)
    header = self._text([self._schema.names])
    if not self.num_bytes:
      _put(self._file, header.encode())
    elif self._first_line() != header.rstrip("\n"):
      os.close(self._file)
      raise InputError(
        f"{path}: its columns are not those of these answers; give another file"
      )

  def _text(self, rows: Iterable[Sequence]) -> str:
    return csv_text(rows)


class _JsonLines(_Lines):
  def __init__(self, path: pathlib.Path, schema: pa.Schema, append: bool):
    super().__init__(path, schema, append)
    # The fields that are the same in every line.
    version = (schema.metadata or {}).get(VERSION.encode())
    self._always = {VERSION: int(version)} if version else {}
    if is_file(path) and self.num_bytes and not self._goes_on():
      os.close(self._file)
      raise InputError(
        f"{path}: holds no JSON lines of these answers; give another file"
      )

  def _goes_on(self) -> bool:
    """Whether the existing lines have the same version."""
    try:
      first = json.loads(self._first_line())
    except ValueError:
      return False
    return isinstance(first, dict) and self._always.items() <= first.items()

  def _text(self, rows: Iterable[Sequence]) -> str:
    names = self._schema.names
    return "".join(
      json.dumps(self._always | dict(zip(names, row, strict=True))) + "\n"
      for row in rows
    )


class _Parquet(AnswerFile):
  """A journal of record batches, which becomes a Parquet file."""

  def __init__(self, path: pathlib.Path, schema: pa.Schema, append: bool):
    super().__init__(path, schema)
    self._journal_path = path.with_name(f".{path.name}.journal")
    with contextlib.ExitStack() as stack:
      partial = stack.enter_context(files.replacing(path))
      check(path, append)
      self._parquet = stack.enter_context(open(partial, "w+b"))
      if self._journal_path.exists():
        self._become_parquet()
        stack.close()
        raise InputError(
          f"{path}: holds the answers of a run that was killed; give another file"
        )
      self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT, 0o666)
      stack.callback(os.close, self._journal)
      self._batch = io.BytesIO()
      self._writer = pa.ipc.new_stream(
        self._batch, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
      )
      self._kept = self._num_rows = self._reserved = 0
      self._keep(0)
      self._open = stack.pop_all()

  @property
  def num_bytes(self) -> int:
    return self._kept

  def _write(self, columns: Sequence[Sequence | np.ndarray]) -> None:
    arrays = [
      pa.array(column, field.type)
      for column, field in zip(columns, self._schema, strict=True)
    ]
    self._writer.write_table(pa.table(arrays, self._schema))
    self._keep(len(arrays[0]))

  def _keep(self, num_rows: int) -> None:
    """Moves the written batch to the journal, and reserves disk space for the file."""
    content = self._batch.getvalue()
    self._batch.seek(0)
    self._batch.truncate()
    size = self._kept + len(content)
    groups = (self._num_rows + num_rows) // _ROWS_IN_GROUP + 2
    if size + groups * _FOOTER_BYTES > self._reserved:
      wanted = size + groups * _FOOTER_BYTES + _RESERVED_AT_ONCE
      os.posix_fallocate(self._parquet.fileno(), 0, wanted)
      self._reserved = wanted
    _put(self._journal, content)
    self._kept, self._num_rows = size, self._num_rows + num_rows

  def close(self) -> None:
    try:
      # A batch that was cut off by a full disk is dropped.
      os.ftruncate(self._journal, self._kept)
      with self._open:
        self._become_parquet()
    except OSError as error:
      raise InputError(
        f"{self._path}: cannot be written ({files.reason(error)}); its answers are in "
        f"{self._journal_path}, and go to the file when it is to be written again"
      ) from error

  def _become_parquet(self) -> None:
    """Writes the rows of the journal as Parquet, up to where it breaks off."""
    writer = pq.ParquetWriter(self._parquet, self._schema, compression="zstd")
    group: list[pa.RecordBatch] = []
    for batch in _batches(self._journal_path):
      group.append(batch)
      if sum(map(len, group)) >= _ROWS_IN_GROUP:
        writer.write_table(pa.Table.from_batches(group))
        group = []
    if group:
      writer.write_table(pa.Table.from_batches(group))
    writer.close()
    self._parquet.flush()
    self._parquet.truncate(self._parquet.tell())
    self._journal_path.unlink()


def _cut_last_line(file: int) -> None:
  """Cuts off an incomplete last line."""
  end = size = os.fstat(file).st_size
  while end:
    begin = max(0, end - (1 << 16))
    place = os.pread(file, end - begin, begin).rfind(b"\n")
    end = begin if place < 0 else begin + place + 1
    if place >= 0:
      break
  if end < size:
    os.ftruncate(file, end)


def _put(file: int, content: bytes) -> None:
  """Writes all of the content to an open file descriptor."""
  rest = memoryview(content)
  while rest:
    rest = rest[os.write(file, rest) :]


def _batches(path: pathlib.Path) -> Iterator[pa.RecordBatch]:
  """The record batches of a journal, up to where it breaks off."""
  with open(path, "rb") as file, contextlib.suppress(pa.ArrowInvalid, OSError):
    yield from pa.ipc.open_stream(file)
