"""Escapes names from the data before they are shown.

Names of classes, captures, partitions and files come from whoever made the data. A
terminal, browser or spreadsheet could take part of a name for a command or a formula.
"""

import re

# A tag, a comment or an entity. "< 5" and "a & b" do not match.
_TAG, _ENTITY = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"&(?=#?\w+;)")
_MARKS = re.compile(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))")
_FORMULA = re.compile(r"\s*[=+\-@|%]|[\t\r\n]")
_NUMBER = re.compile(r"[+\-]?[\d.][\d.,e+\- ±%]*")


def for_terminal(text: object) -> str:
  """Text on one line, with control and direction characters escaped as in "\\x1b"."""
  return "".join(
    c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
  )


def for_markdown(text: object) -> str:
  """Text for a line or table cell of Markdown, with HTML and markup escaped."""
  text = _MARKS.sub(r"\\\1", for_terminal(text))
  return _TAG.sub("&lt;", _ENTITY.sub("&amp;", text))


def for_spreadsheet(cell: object) -> object:
  """A cell of a CSV file; "'" is put before text that would be taken for a formula."""
  if not isinstance(cell, str) or not _FORMULA.match(cell):
    return cell
  return cell if _NUMBER.fullmatch(cell) else f"'{cell}"


def for_figure(text: object) -> str:
  """Text for a Matplotlib figure, with "$" escaped, which would start a formula."""
  text = for_terminal(text).replace("$", r"\$")
  # Matplotlib leaves labels that begin with "_" out of the legend.
  return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text
