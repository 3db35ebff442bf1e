"""Walks through the folders of a dataset's files."""

import os
import pathlib
from collections.abc import Iterator

from mtl_traffic.errors import InputError

_CAPTURES = (".pcap", ".pcapng")


def files_below(
  folder: str | os.PathLike, above: tuple[str, ...] = ()
) -> Iterator[str]:
  """Yields the paths of all files below a folder, in alphabetical order.

  Links to folders are followed, since large datasets often lie on another disk. Hidden
  files are left out, and so are the files that macOS adds to archives.

  Args:
    folder: where to look.
    above: the real paths of the parent folders, to detect loops of links.

  Raises:
    InputError: a folder cannot be read.
  """
  real = os.path.realpath(folder)
  if real in above:
    return  # A link to a parent folder would make an endless loop.
  try:
    with os.scandir(folder) as entries:
      entries = sorted(entries, key=lambda entry: entry.name)
  except OSError as error:
    raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
  for entry in entries:
    if is_hidden(entry.name):
      continue
    if entry.is_dir():
      yield from files_below(entry.path, (*above, real))
    else:
      yield entry.path


def captures_below(folder: str | os.PathLike) -> list[pathlib.Path]:
  """The captures below a folder, plain or gzipped, each once, in alphabetical order.

  Links to folders are followed.

  Raises:
    InputError: a folder cannot be read.
  """
  found = {}
  for path in map(pathlib.Path, files_below(folder)):
    if path.name.lower().removesuffix(".gz").endswith(_CAPTURES):
      found.setdefault(path.resolve(), path)  # A link may point to the same file.
  return list(found.values())


def is_hidden(name: str) -> bool:
  """Whether a file or folder of this name is ignored."""
  return name.startswith(".") or name == "__MACOSX"


def contents(folder: str | os.PathLike, most: int = 5) -> str:
  """The first few names in a folder, for messages."""
  names = sorted(os.listdir(folder))
  shown = ", ".join(names[:most]) or "nothing"
  return f"{shown} and {len(names) - most} more" if len(names) > most else shown
