"""What data says, written so that it is shown and never obeyed.

Names of classes, captures, partitions and files come from whoever made the data. Where
they are shown, something may read more into them: a terminal, a browser, a spreadsheet.
"""

import re

# A tag, a comment or an entity. "< 5" and "a & b" are none.
_TAG, _ENTITY = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"&(?=#?\w+;)")
_MARKS = re.compile(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))")
_FORMULA = re.compile(r"\s*[=+\-@|%]|[\t\r\n]")
_NUMBER = re.compile(r"[+\-]?[\d.][\d.,e+\- ±%]*")


def for_terminal(text: object) -> str:
  """One line; what steers a terminal, or turns the reading direction, as "\\x1b"."""
  return "".join(
    c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
  )


def for_markdown(text: object) -> str:
  """Text within a line of Markdown, or in a cell, without HTML or markup."""
  text = _MARKS.sub(r"\\\1", for_terminal(text))
  return _TAG.sub("&lt;", _ENTITY.sub("&amp;", text))


def for_spreadsheet(cell: object) -> object:
  """A cell of a CSV file; one that a spreadsheet would compute begins with "'"."""
  if not isinstance(cell, str) or not _FORMULA.match(cell):
    return cell
  return cell if _NUMBER.fullmatch(cell) else f"'{cell}"


def for_figure(text: object) -> str:
  """Text in a figure of Matplotlib's, to which "$" would be the start of a formula."""
  text = for_terminal(text).replace("$", r"\$")
  # A label that begins with "_" would be left out of the legend.
  return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text
