"""A work directory: its settings, and every finished row.

`config.json` holds the settings that rows depend on. A directory is continued only with
the same settings. `results.jsonl` has a row for each run and tested partition. The rows
of a run are appended together, so an interruption can only damage the last ones.
"""

import json
import os
import pathlib
from collections.abc import Iterable

from absl import logging

from mtl_traffic import files, provenance
from mtl_traffic.errors import InputError, first_line
from mtl_traffic.runs import FIELDS

_ROWS = "results.jsonl"


class WorkDir:
  """A directory that one process at a time writes the rows of one experiment to."""

  def __init__(
    self,
    path: str | os.PathLike,
    meaning: dict,
    extent: dict,
    paper: dict | None = None,
    device: str = "",
  ):
    """Opens or makes the directory.

    Args:
      path: the directory.
      meaning: the settings that rows depend on but do not state themselves; JSON.
      extent: the other settings, which may differ from an earlier call's; JSON.
      paper: the paper's values, which tables show beside the rows; JSON.
      device: the accelerator; empty if the CPU computes.

    Raises:
      InputError: the directory belongs to another configuration or is in use.
    """
    self.path = pathlib.Path(path)
    # Through JSON, so that tuples compare equal to what was read back.
    self._meaning = meaning = json.loads(json.dumps(meaning))
    earlier = read_config(self.path)
    if earlier is not None:
      _check_same(earlier.get("meaning", {}), meaning, self.path)
    self._lock = files.lock(self.path)
    calls = provenance.calls_of(earlier or {})
    config = {
      "meaning": meaning,
      "extent": extent,
      "paper": paper or {},
      "versions": provenance.versions(),
      "calls": provenance.added(calls, provenance.of_call(device)),
    }
    self.write_text("config.json", json.dumps(config, indent=2) + "\n")

  def close(self) -> None:
    """Lets others use the directory."""
    self._lock.close()

  def rows(self) -> list[dict]:
    """The rows so far, without a last line that was cut short."""
    return read_rows(self.path)

  def rows_beside(self) -> list[dict]:
    """The rows of other experiments in neighbouring folders, with the same settings.

    Settings that one of the experiments varies are compared by whoever reads the rows.
    """
    rows = []
    for folder in sorted(file.parent for file in self.path.parent.glob(f"*/{_ROWS}")):
      config = read_config(folder) if folder != self.path else None
      if config and _differ_in_runs(config.get("meaning", {}), self._meaning):
        rows += read_rows(folder)
    return rows

  def keep(self, rows: list[dict]) -> None:
    """Replaces the rows so far by these."""
    self.write_text(_ROWS, "".join(map(_line, rows)))

  def append(self, rows: Iterable[dict]) -> None:
    """Adds rows, on disk when this returns.

    Raises:
      InputError: they could not be written; those before them are kept.
    """
    path = self.path / _ROWS
    try:
      with open(path, "a") as file:
        file.write("".join(map(_line, rows)))
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
      raise InputError(
        f"{path}: cannot be written ({files.reason(error)}); the rows so far are kept: "
        "solve this and start again"
      ) from error

  def write_text(self, name: str, text: str) -> None:
    """Writes a file atomically: it is complete or absent."""
    files.write_text(self.path / name, text)


def read_config(path: pathlib.Path) -> dict | None:
  """Reads the settings of the directory's rows; None if it has no rows yet.

  Raises:
    InputError: `config.json` is missing or unreadable.
  """
  file = path / "config.json"
  if not file.exists():
    if (path / _ROWS).exists():
      raise InputError(
        f"{file} is missing, but results.jsonl exists; take another directory"
      )
    return None
  try:
    config = json.loads(file.read_text())
    if isinstance(config, dict):
      return config
  except (OSError, ValueError, RecursionError):
    pass
  raise InputError(f"{file}: unreadable; take another directory")


def read_rows(path: pathlib.Path) -> list[dict]:
  """The rows of the directory, without a last line that was cut short.

  Raises:
    InputError: a line is not a row.
  """
  file = path / _ROWS
  if not file.exists():
    return []
  try:
    lines = file.read_text().split("\n")
  except (OSError, ValueError) as error:
    raise InputError(f"{file}: unreadable ({first_line(error)})") from None
  if lines.pop():
    logging.warning("%s: its last line was cut short and is dropped", file)
  rows = []
  for number, line in enumerate(lines, start=1):
    try:
      row = json.loads(line)
    except (ValueError, RecursionError):
      row = None
    if not isinstance(row, dict):
      raise InputError(
        f"{file}, line {number}: not a row; remove the line to run it again"
      )
    rows.append(row)
  return rows


def _line(row: dict) -> str:
  return json.dumps(row) + "\n"


def _check_same(earlier: dict, now: dict, path: pathlib.Path) -> None:
  for name in sorted(earlier.keys() | now.keys()):
    if earlier.get(name) != now.get(name):
      raise InputError(
        f"{path} was made with {name} = {earlier.get(name)}, now it is "
        f"{now.get(name)}; take another directory"
      )


def _differ_in_runs(meaning: dict, other: dict) -> bool:
  """Whether two experiments differ at most in fields of `Run`, which rows state."""
  return all(
    meaning[name] == other[name]
    if name in meaning and name in other
    else name in FIELDS
    for name in (meaning.keys() | other.keys()) - {"experiment"}
  )
