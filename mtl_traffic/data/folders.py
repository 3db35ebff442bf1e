"""Goes through the folders that a user keeps the files of a dataset in."""

import os
import pathlib
from collections.abc import Iterator

from mtl_traffic.errors import InputError

_CAPTURES = (".pcap", ".pcapng")


def files_below(
  folder: str | os.PathLike, above: tuple[str, ...] = ()
) -> Iterator[str]:
  """Yields the paths of all files below a folder, in alphabetical order.

  Linked folders are followed, as large datasets often lie on another disk. What is
  hidden is left out, and so is what macOS puts into archives.

  Args:
    folder: where to look.
    above: the real paths of the folders that it was reached through.

  Raises:
    InputError: a folder cannot be read.
  """
  real = os.path.realpath(folder)
  if real in above:
    return  # A link back up has no end.
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
  """The captures below a folder, plain or as gzip, each once, in alphabetical order.

  Linked folders are followed.

  Raises:
    InputError: a folder cannot be read.
  """
  found = {}
  for path in map(pathlib.Path, files_below(folder)):
    if path.name.lower().removesuffix(".gz").endswith(_CAPTURES):
      found.setdefault(path.resolve(), path)  # A link may lead to it too.
  return list(found.values())


def is_hidden(name: str) -> bool:
  """Whether a file or folder of this name is no part of a dataset."""
  return name.startswith(".") or name == "__MACOSX"


def contents(folder: str | os.PathLike, most: int = 5) -> str:
  """The first few names in a folder, to tell what was found there."""
  names = sorted(os.listdir(folder))
  shown = ", ".join(names[:most]) or "nothing"
  return f"{shown} and {len(names) - most} more" if len(names) > most else shown
