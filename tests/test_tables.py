import numpy as np

from mtl_traffic import tables
from mtl_traffic.evaluation import Estimate


def test_csv_has_the_cells_of_the_table():
  table = tables.Table(["a", "b, c"], [[1, "x"], ["2, 3", "–"]])
  assert table.csv() == 'a,"b, c"\n1,x\n"2, 3",–\n'


def test_markdown_is_aligned():
  table = tables.Table(["a", "number"], [["longer", 1], ["", 22]])
  expected = """\
| a      | number |
| ------ | ------ |
| longer | 1      |
|        | 22     |
"""
  assert table.markdown() == expected
  assert tables.markdown_table(["a", "number"], iter(table.rows)) == expected


def test_a_table_without_rows_has_its_header():
  assert tables.markdown_table(["a", "b"], []) == "| a | b |\n| - | - |\n"


def test_percent():
  assert tables.percent(Estimate(0.5, np.nan, 1)) == "50.0"
  assert tables.percent(Estimate(np.nan, np.nan, 0)) == "–"
  assert tables.percent(Estimate(0.05, 0.012, 2), "+.1f") == "+5.0 ± 1.2"
