"""Tables that can be pasted into a paper."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence

import numpy as np

from mtl_traffic.escapes import for_markdown, for_spreadsheet
from mtl_traffic.evaluation import Estimate


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of formatted cells."""

  header: Sequence[str]
  rows: Sequence[Sequence[object]]

  def markdown(self) -> str:
    """Markdown, its columns aligned so that it reads well as plain text."""
    return markdown_table(self.header, self.rows)

  def csv(self) -> str:
    """Comma-separated values."""
    return csv_text([self.header, *self.rows])


def percent(value: Estimate, form: str = ".1f") -> str:
  """An accuracy in %, as in "93.3 ± 1.2"; "–" if there is none."""
  if np.isnan(value.mean):
    return "–"
  interval = "" if np.isnan(value.half_width) else f" ± {100 * value.half_width:.1f}"
  return f"{100 * value.mean:{form}}{interval}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
  """A Markdown table, its columns aligned so that it reads well as plain text."""
  cells = [[for_markdown(cell) for cell in row] for row in (header, *rows)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  cells.insert(1, ["-" * width for width in widths])
  return "".join(
    "| " + " | ".join(map(str.ljust, row, widths)) + " |\n" for row in cells
  )


def csv_text(rows: Iterable[Iterable[object]]) -> str:
  """Comma-separated values of rows, escaped so that no cell is taken for a formula."""
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerows(
    [for_spreadsheet(cell) for cell in row] for row in rows
  )
  return text.getvalue()
