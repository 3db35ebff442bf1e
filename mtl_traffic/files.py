"""Files that are there whole or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives a partial file to write; it takes the place of `path` once that is done.

  An error within the context leaves what was at `path` and removes the partial file.
  Folders above `path` are made.

  Args:
    path: the file.

  Raises:
    OSError: the folder or the file cannot be written.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
  try:
    yield partial
    partial.replace(path)
  finally:
    partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file as `replacing` does."""
  with replacing(path) as partial:
    partial.write_text(text, encoding="utf-8")
