"""Finds capture files, and tells which of them follow each other as one capture."""

import glob
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.reading import NANOSECONDS, read_packets
from mtl_traffic.errors import InputError

_LONGEST_PAUSE = 3600 * NANOSECONDS  # Between files of one capture.


_OVERLAP = NANOSECONDS  # As packets are recorded out of order.


def name_of(path: str | os.PathLike) -> str:
  """A file's name as text; bytes that are not UTF-8 are escaped."""
  return shown(pathlib.Path(path).name)


def shown(path: str | os.PathLike) -> str:
  """A path as text; bytes that are not UTF-8 are escaped."""
  return os.fsencode(path).decode(errors="backslashreplace")


def find(
  patterns: Sequence[str],
  skip_bad: bool = False,
  tell: Callable[[str], None] = lambda problem: None,
) -> list[pathlib.Path]:
  """The captures that paths, folders or patterns name, each once.

  Args:
    patterns: what to look for. A name that is there is taken as it is, whatever is in
      it; of a folder all captures are meant, and those in its folders.
    skip_bad: leave out what is no capture. In folders that is always done.
    tell: is told what is left out, a line each.

  Raises:
    InputError: a pattern names no file, a file is no capture, or two files have one
      name, by which flows and labels could not tell them apart.
  """
  paths = {}
  for pattern in patterns:
    for path, is_in_folder in _named(pattern):
      try:
        check(path)
      except InputError as error:
        if not (skip_bad or is_in_folder):
          raise
        tell(str(error))
        continue
      if paths.setdefault(path.name, path) != path:
        raise InputError(
          f"{shown(path)} and {shown(paths[path.name])} have the same name; rename one "
          "of them"
        )
  if not paths:
    raise InputError(f"{', '.join(map(shown, patterns))}: no capture is there")
  return list(paths.values())


def check(path: str | os.PathLike) -> None:
  """Returns if a file is there and begins as a capture does.

  Raises:
    InputError: as `read_flows` would.
  """
  with open_capture(path) as file:
    next(read_packets(file, shown(path), Accounts(), chunk_bytes=1 << 12), None)


def open_capture(path: str | os.PathLike) -> BinaryIO:
  """Opens a file.

  Raises:
    InputError: it cannot be.
  """
  try:
    return open(path, "rb")
  except OSError as error:
    raise InputError(f"{shown(path)}: {error.strerror}; give a capture file") from error


def span(path: str | os.PathLike) -> tuple[int, int] | None:
  """The earliest and the latest time in a capture, ns since 1970; None if empty.

  Raises:
    InputError: as `read_flows` would.
  """
  first = last = None
  with open_capture(path) as file:
    for raw in read_packets(file, shown(path), Accounts()):
      if len(raw.times):
        earliest, latest = int(raw.times.min()), int(raw.times.max())
        first = earliest if first is None else min(first, earliest)
        last = latest if last is None else max(last, latest)
  return None if first is None else (first, last)


def chains(
  paths: Sequence[pathlib.Path],
  spans: Callable[[Sequence[pathlib.Path]], Iterable[tuple[int, int] | None]],
) -> list[list[pathlib.Path]]:
  """Which files are one capture, as they follow each other in time.

  Files whose names differ only in numbers are looked at together; so are all the
  others. Files that overlap in time, or follow after more than an hour, stay apart.

  Args:
    paths: the files.
    spans: gives the times that files span, in the order of the files.

  Returns:
    The captures, in the order of their first files; the files of each, in order of
    time.
  """
  if len(paths) < 2:
    return [[path] for path in paths]
  alike: dict[str, list[int]] = {}
  for i, path in enumerate(paths):
    alike.setdefault(re.sub(r"\d+", "", path.name), []).append(i)
  groups = [group for group in alike.values() if len(group) > 1]
  groups.append([i for group in alike.values() if len(group) == 1 for i in group])
  times = list(spans(paths))
  chained = []
  for group in groups:
    end, overlap = None, 0
    for i in sorted((i for i in group if times[i]), key=lambda i: (times[i], i)):
      begin, last = times[i]
      if end is not None and -overlap <= begin - end <= _LONGEST_PAUSE:
        chained[-1].append(i)
      else:
        chained.append([i])
      end, overlap = last, min(_OVERLAP, (last - begin) // 100)
  chained.extend([i] for i in range(len(paths)) if not times[i])
  return [[paths[i] for i in chain] for chain in sorted(chained, key=min)]


def _named(pattern: str) -> list[tuple[pathlib.Path, bool]]:
  """The files that a pattern names, and whether they were found in a folder.

  Raises:
    InputError: there is none.
  """
  pattern = os.path.expanduser(pattern)
  matches = [pattern] if os.path.exists(pattern) else []
  matches = matches or sorted(glob.glob(pattern, recursive=True))
  if not matches:
    raise InputError(f"{shown(pattern)}: no such file")
  named = []
  for path in map(pathlib.Path, matches):
    if path.is_dir():
      named += [(file, True) for file in sorted(path.rglob("*")) if file.is_file()]
    else:
      named.append((path, False))
  return named
