"""Finds the captures of the ISCX dataset, and the category of each from its name."""

import csv
import dataclasses
import fnmatch
import os
import pathlib
import re

from mtl_traffic.data import folders
from mtl_traffic.errors import InputError

CATEGORIES = ("chat", "email", "file-transfer", "streaming", "voip")
TABLE = pathlib.Path(__file__).parent / "categories.csv"
_COLUMNS = ["pattern", "category", "left_out_because"]


@dataclasses.dataclass(frozen=True)
class Capture:
  """A capture file: its category, and whether it went through a VPN."""

  path: pathlib.Path
  category: str
  is_vpn: bool


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the table: a category, or else the reason to leave captures out."""

  pattern: str
  category: str
  left_out_because: str


def read_table(path: str | os.PathLike = TABLE) -> list[Row]:
  """Reads a table of categories.

  Raises:
    InputError: a line is invalid; names the file, the line and the problem.
  """
  try:
    with open(path, newline="", encoding="utf-8") as file:
      rows = csv.DictReader(file)
      if rows.fieldnames != _COLUMNS:
        raise InputError(f"{path}: line 1 must be {','.join(_COLUMNS)}")
      table = []
      for row in rows:
        row = Row(**{name: (row[name] or "").strip() for name in _COLUMNS})
        if not row.pattern or bool(row.category) == bool(row.left_out_because):
          raise InputError(
            f"{path}: line {rows.line_num}: give a pattern, and either a category or "
            "why such captures are left out"
          )
        if row.category and row.category not in CATEGORIES:
          raise InputError(
            f"{path}: line {rows.line_num}: category is {row.category!r}, "
            f"must be one of {', '.join(CATEGORIES)}"
          )
        table.append(row)
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise InputError(f"{path}: not a readable table of categories ({error})") from error
  return table


def find_captures(
  folder: str | os.PathLike, table: list[Row]
) -> tuple[list[Capture], dict[str, str]]:
  """Finds the captures below a folder; links to folders are followed.

  Returns:
    The captures with a category, in alphabetical order, and the reason for leaving out
    each of the others.

  Raises:
    InputError: no capture has a category, two have the same name, or a folder cannot be
      read.
  """
  found: dict[str, Capture] = {}
  left_out = {}
  for path in folders.captures_below(folder):
    stem = path.name.lower().removesuffix(".gz").rpartition(".")[0].replace("-", "_")
    row = next((row for row in table if fnmatch.fnmatch(stem, row.pattern)), None)
    if row is None:
      left_out[path.name] = "in no row of the table of categories"
    elif row.left_out_because:
      left_out[path.name] = row.left_out_because
    else:
      known = found.get(path.name)
      if known:
        raise InputError(
          f"{path} and {known.path} have the same name; remove one of them"
        )
      is_vpn = re.search("(^|_)vpn_", stem) is not None
      found[path.name] = Capture(path, row.category, is_vpn)
  if not found:
    raise InputError(
      f"{folder}: holds no capture of a known category, but "
      f"{folders.contents(folder)}; give the folder of the published captures, e.g. "
      "vpn_skype-chat1a.pcap"
    )
  return list(found.values()), left_out
