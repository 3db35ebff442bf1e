"""Finds capture files, and joins those that continue each other into one capture."""

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
    patterns: paths, folders or patterns. An existing name is never read as a pattern.
      A folder stands for all captures in it and in its subfolders.
    skip_bad: whether to leave out files that are no captures. In folders they always
      are.
    tell: called with a line for each file that is left out.

  Raises:
    InputError: a pattern matches no file, a file is no capture, or two files have the
      same name, so that ids and labels would be ambiguous.
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
    raise InputError(f"{', '.join(map(shown, patterns))}: no capture was found")
  return list(paths.values())


def check(path: str | os.PathLike) -> None:
  """Checks that a file exists and begins like a capture.

  Raises:
    InputError: the file does not exist, or is not a capture.
  """
  with open_capture(path) as file:
    next(read_packets(file, shown(path), Accounts(), chunk_bytes=1 << 12), None)


def open_capture(path: str | os.PathLike) -> BinaryIO:
  """Opens a file.

  Raises:
    InputError: the file cannot be opened.
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
  """Joins files that follow each other in time into captures.

  Files are joined if their names differ only in numbers. The files that are left are
  tried together too, whatever their names. Files that overlap in time, or are more than
  an hour apart, are not joined.

  Args:
    paths: the files.
    spans: returns the time spans of files, in the order of the files.

  Returns:
    The captures, in the order of their first files. Each is a list of files in order of
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
  """The files that a pattern matches, and whether each was found in a folder.

  Raises:
    InputError: no file matches.
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
