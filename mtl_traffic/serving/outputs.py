"""Where answers go: to several files at once, and to new ones as these grow."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mtl_traffic import files
from mtl_traffic.errors import InputError
from mtl_traffic.serving import answer_files
from mtl_traffic.serving.answer_files import AnswerFile, Rows

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclasses.dataclass(frozen=True)
class Rotation:
  """When a file of answers is full; one of these is given.

  Attributes:
    period: once so many ns have passed since its first answer, by the capture's clock.
    num_bytes: once it is at least so large.
  """

  period: int | None = None
  num_bytes: int | None = None

  @classmethod
  def of(cls, text: str) -> "Rotation":
    """What "1h" or "100MB" says.

    Raises:
      InputError: it says nothing of the kind.
    """
    said = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text.strip())
    amount, unit = (float(said[1]), said[2]) if said else (0, "")
    if amount and unit in _SECONDS:
      return cls(period=round(amount * _SECONDS[unit] * 10**9))
    if amount and unit in _BYTES:
      return cls(num_bytes=round(amount * _BYTES[unit]))
    raise InputError(
      f"{text}: must be a time ({', '.join(_SECONDS)}) or a size "
      f"({', '.join(_BYTES)}), 1h or 100MB say"
    )


class Outputs:
  """Files of the same answers, to be used as a context."""

  def __init__(
    self,
    paths: Sequence[str | os.PathLike],
    schema: pa.Schema,
    append: bool = False,
    rotation: Rotation | None = None,
  ):
    """Opens the files.

    Args:
      paths: as `answer_files.open_answers` takes them.
      schema: the columns of answers.
      append: go on with what is there.
      rotation: when files, rather than pipes, are full.

    Raises:
      InputError: one of them cannot be opened.
    """
    with contextlib.ExitStack() as stack:
      self._files = [
        stack.enter_context(
          _Rotated(path, schema, append, rotation)
          if rotation and answer_files.is_file(path)
          else answer_files.open_answers(path, schema, append)
        )
        for path in paths
      ]
      self._open = stack.pop_all()

  def write(self, rows: Rows) -> None:
    """Appends rows to each file.

    Raises:
      InputError: they could not be written to one of them.
    """
    for file in self._files:
      file.write(rows)

  def __enter__(self) -> "Outputs":
    return self

  def __exit__(self, *problem) -> None:
    self._open.__exit__(*problem)


def check(paths: Sequence[str | os.PathLike], append: bool = False) -> None:
  """Raises an InputError if answers cannot go to files of these names."""
  for i, path in enumerate(paths):
    if path in paths[:i]:
      raise InputError(f"{path}: is given twice")
    answer_files.check(path, append)


class _Rotated:
  """A file that goes on in a new one when it is full.

  The one that is written has the name that was given. A full one is called
  `answers.1.jsonl`, the next one `answers.2.jsonl`; none takes the place of another.
  """

  def __init__(
    self,
    path: str | os.PathLike,
    schema: pa.Schema,
    append: bool,
    rotation: Rotation,
  ):
    self._path, self._schema, self._rotation = pathlib.Path(path), schema, rotation
    self._has_rows = self._path.exists() and self._path.stat().st_size > 0
    self._file: AnswerFile = answer_files.open_answers(path, schema, append)
    self._begun: int | None = None  # When its first answer came, ns.
    self._numbers = itertools.count(1)

  def write(self, rows: Rows) -> None:
    """Appends rows, in order of time; those of one period go to one file."""
    times = np.asarray(rows["time"], np.int64)
    start = 0
    while start < len(times):
      if self._has_rows and self._is_full(int(times[start])):
        self._begin_another()
      if self._begun is None:
        self._begun = int(times[start])
      stop = len(times)
      if self._rotation.period is not None:
        # The first one that is later, if not all are of the file that is open.
        later = times[start:] >= self._begun + self._rotation.period
        stop = start + int(np.argmax(later)) if later.any() else stop
      self._file.write({name: column[start:stop] for name, column in rows.items()})
      self._has_rows, start = True, stop

  def _is_full(self, time: int) -> bool:
    period, num_bytes = self._rotation.period, self._rotation.num_bytes
    if period is not None:
      return self._begun is not None and time - self._begun >= period
    return self._file.num_bytes >= num_bytes

  def _begin_another(self) -> None:
    path = self._path
    self._file.__exit__(None, None, None)
    names = (f"{path.stem}.{number}{path.suffix}" for number in self._numbers)
    full = next(each for each in map(path.with_name, names) if not each.exists())
    try:
      path.rename(full)
    except OSError as error:
      raise InputError(
        f"{full}: cannot be written ({files.reason(error)}); the answers are in {path}"
      ) from error
    self._file = answer_files.open_answers(path, self._schema)
    self._begun = None

  def __enter__(self) -> "_Rotated":
    return self

  def __exit__(self, *problem) -> None:
    self._file.__exit__(*problem)
