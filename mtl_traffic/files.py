"""Files that are there whole or not at all, and have one writer at a time."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from mtl_traffic.errors import InputError, first_line

if TYPE_CHECKING:
  from matplotlib.figure import Figure

DPI = 150  # Of figures.


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives a partial file to write; it takes the place of `path` once that is done.

  An error within the context leaves what was at `path` and removes the partial file.
  What a killed process left of one is removed. Folders above `path` are made.

  Args:
    path: the file.

  Raises:
    InputError: the folder or the file cannot be written, or another process is writing
      the file.
  """
  path = pathlib.Path(path)
  partial = path.with_name(f".{path.name}.partial")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_writer(path):
      try:
        partial.unlink(missing_ok=True)
        yield partial
        partial.replace(path)
      finally:
        partial.unlink(missing_ok=True)
  except OSError as error:
    if isinstance(error, FileNotFoundError) and error.filename == str(partial):
      raise  # Nobody wrote it, which is no matter of input.
    raise InputError(f"{path}: cannot be written ({reason(error)})") from error


@contextlib.contextmanager
def scratch(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives an empty folder beside `path`, which is removed in the end.

  What a killed process left of one is removed first. For use within `replacing` of the
  same path, which sees to it that nobody else has the folder.
  """
  path = pathlib.Path(path)
  folder = path.with_name(f".{path.name}.parts")
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir()
  try:
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def check(path: str | os.PathLike) -> None:
  """Looks whether a file can be written, long before it is.

  Raises:
    InputError: it cannot.
  """
  path = pathlib.Path(path)
  folder = next(parent for parent in path.absolute().parents if parent.exists())
  if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
    raise InputError(f"{path}: cannot be written; give another file")


def check_new(path: str | os.PathLike) -> None:
  """Looks whether a file can be written, and nothing is there that would get lost.

  Raises:
    InputError: it cannot, or something is there.
  """
  check(path)
  if pathlib.Path(path).exists():
    raise InputError(f"{path}: is there already; remove it, or give another file")


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file as `replacing` does."""
  with replacing(path) as partial:
    partial.write_text(text, encoding="utf-8")


def write_figure(path: str | os.PathLike, figure: "Figure") -> None:
  """Writes a figure as a PNG file as `replacing` does."""
  with replacing(path) as partial, warnings.catch_warnings():
    # Names may be of a script that no font here has, and are then shown as boxes.
    warnings.filterwarnings("ignore", "Glyph .* missing from font")
    figure.savefig(partial, dpi=DPI, format="png")


def lock(folder: str | os.PathLike) -> BinaryIO:
  """Makes a folder, which no other process may lock until the result is closed.

  Raises:
    InputError: the folder cannot be written, or another process has locked it.
  """
  folder = pathlib.Path(folder)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / ".lock", "wb")
  except OSError as error:
    raise InputError(f"{folder}: {reason(error)}; take another directory") from None
  if not try_lock(file.fileno()):
    file.close()
    raise InputError(f"{folder}: another process is using it")
  return file


def try_lock(file: int) -> bool:
  """Locks an open file, by its number, until it is closed; False if another has it."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True


def reason(error: OSError) -> str:
  """What the system says of an error, in a few words."""
  return error.strerror or first_line(error)


@contextlib.contextmanager
def _only_writer(path: pathlib.Path) -> Iterator[None]:
  """Holds a lock file beside `path`, which is removed in the end."""
  beside = path.with_name(f".{path.name}.lock")
  while True:
    file = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      if not try_lock(file):
        raise InputError(f"{path}: another process is writing it")
      # Whoever had the lock may have removed the file that was opened here.
      if beside.exists() and os.path.samestat(os.fstat(file), beside.stat()):
        try:
          yield
        finally:
          beside.unlink()
        return
    finally:
      os.close(file)
