"""Writes files so that they are complete or absent, with one writer at a time."""

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
  """Yields a temporary file to write, which replaces `path` at the end.

  After an error `path` is as it was before, and the temporary file is removed. So is a
  temporary file that a killed process left. Missing parent folders are made.

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
      raise  # The caller wrote no file; that is a bug, not bad input.
    raise InputError(f"{path}: cannot be written ({reason(error)})") from error


@contextlib.contextmanager
def scratch(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields an empty folder beside `path`, which is removed at the end.

  A folder that a killed process left is removed first. Use it within `replacing` of the
  same path, whose lock keeps other processes from the folder.
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
  """Checks early that a file can be written.

  Raises:
    InputError: the file cannot be written.
  """
  path = pathlib.Path(path)
  folder = next(parent for parent in path.absolute().parents if parent.exists())
  if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
    raise InputError(f"{path}: cannot be written; give another file")


def check_new(path: str | os.PathLike) -> None:
  """Checks early that a file can be written and does not exist yet.

  Raises:
    InputError: the file cannot be written, or it exists.
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
    # Characters that no installed font has are drawn as boxes.
    warnings.filterwarnings("ignore", "Glyph .* missing from font")
    figure.savefig(partial, dpi=DPI, format="png")


def lock(folder: str | os.PathLike) -> BinaryIO:
  """Makes a folder and locks it for this process until the result is closed.

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
  """Locks an open file until it is closed; False if another process has locked it."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True


def reason(error: OSError) -> str:
  """The system's short description of an error."""
  return error.strerror or first_line(error)


@contextlib.contextmanager
def _only_writer(path: pathlib.Path) -> Iterator[None]:
  """Holds a lock file beside `path`, which is removed at the end."""
  beside = path.with_name(f".{path.name}.lock")
  while True:
    file = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      if not try_lock(file):
        raise InputError(f"{path}: another process is writing it")
      # The previous holder of the lock may have removed the file that was opened here.
      if _is_at(file, beside):
        try:
          yield
        finally:
          beside.unlink()
        return
    finally:
      os.close(file)


def _is_at(file: int, path: pathlib.Path) -> bool:
  """Whether an open file is the one that is at a path now."""
  try:
    return os.path.samestat(os.fstat(file), path.stat())
  except FileNotFoundError:
    return False
