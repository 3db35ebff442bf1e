import csv
import io

import markdown
import pytest
from matplotlib.figure import Figure

from mtl_traffic import escapes, tables

HOSTILE = (
  "<script>alert(1)</script>",
  '<img src="/etc/hostname">',
  "![x](/etc/hostname)",
  "[x](javascript:alert(1))",
  "a | b",
  "`code` *bold* _so_ &lt;b&gt;",
  "\\<b>",
)


def test_a_terminal_is_not_steered():
  assert escapes.for_terminal("a\x1b[2Jb\r\n") == "a\\x1b[2Jb\\r\\n"
  # An override of the reading direction, and a byte of a file name that is no UTF-8.
  assert escapes.for_terminal("\u202egpj\udcff") == "\\u202egpj\\udcff"
  assert escapes.for_terminal("Übertragung – 1 € 日本") == "Übertragung – 1 € 日本"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_cell_of_markdown_shows_its_text_and_nothing_else(name):
  html = markdown.markdown(
    tables.markdown_table(["a", "b"], [[name, "after"]]), extensions=["tables"]
  )
  (_, _, cell, after) = html.replace("<th>", "<td>").split("<td>")[1:]
  assert after.startswith("after</td>")
  cell = cell.partition("</td>")[0]
  for tag in ("<script", "<img", "<a ", "<code", "<strong", "<em", "<b>"):
    assert tag not in cell
  for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
    cell = cell.replace(entity, character)
  assert cell == name


def test_what_needs_no_escape_is_left():
  for text in ("single_task", "class − multitask", "> 1", "< 5", "a & b", "-0.5 ± 1"):
    assert escapes.for_markdown(text) == text


@pytest.mark.parametrize(
  ("cell", "shown"),
  [
    ("=1+1", "'=1+1"),
    ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t=1"),
    ("-2+3 ± 1", "-2+3 ± 1"),
    ("-21.0 ± 12.7", "-21.0 ± 12.7"),
    ("google-doc", "google-doc"),
    (-5, -5),
  ],
)
def test_a_spreadsheet_computes_nothing(cell, shown):
  assert escapes.for_spreadsheet(cell) == shown
  text = tables.Table(["a"], [[cell]]).csv()
  assert list(csv.reader(io.StringIO(text)))[1] == [str(shown)]


@pytest.mark.parametrize("name", ["$\\frac{$", "$", "a $x$ b", "_hidden", "\x1b"])
def test_a_figure_shows_any_name(name):
  figure = Figure()
  axes = figure.subplots()
  axes.plot([1], label=escapes.for_figure(name))
  axes.set_title(escapes.for_figure(name))
  legend = axes.legend()
  assert len(legend.get_texts()) == 1
  figure.savefig(io.BytesIO(), format="png")
