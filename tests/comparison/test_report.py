"""The report of fixed, made-up rows is the one that was looked at.

If it is meant to change: `python tests/comparison/test_report.py` writes it anew; read
the difference.
"""

import pathlib
import re
import shutil
import sys

import pytest

from mtl_traffic.comparison import report
from mtl_traffic.errors import InputError

GOLDEN = pathlib.Path(__file__).parent / "golden"


def _written(workdir):
  shutil.copytree(GOLDEN / "results", workdir)
  page = report.write(workdir)
  return page, (workdir / "report.md").read_text()


def test_the_report_is_the_golden_one(tmp_path):
  _, text = _written(tmp_path / "w")
  assert text == (GOLDEN / "report.md").read_text()


def test_the_page_needs_no_other_file(tmp_path):
  page, text = _written(tmp_path / "w")
  html = page.read_text()
  sources = re.findall('(?:src|href)="([^"]{0,30})', html)
  assert len(sources) == text.count("![") == 5
  assert all(source.startswith("data:image/png;base64,") for source in sources)
  assert "<td>does not hold</td>" in html
  for name in re.findall(r"!\[.*?\]\((.*?)\)", text):
    assert (tmp_path / "w" / name).stat().st_size > 10_000


def test_runs_that_cannot_be_compared_are_reported_apart(tmp_path):
  shutil.copytree(GOLDEN / "results", tmp_path / "w" / "a")
  shutil.copytree(GOLDEN / "results", tmp_path / "w" / "b")
  for path in (tmp_path / "w" / "b").glob("*/config.json"):
    path.write_text(path.read_text().replace('"epochs": 20', '"epochs": 5'))
  report.write(tmp_path / "w")
  text = (tmp_path / "w" / "report.md").read_text()
  assert text.count("## What the paper claims") == 2
  assert "label_budget1.png" in text
  assert "label_budget2.png" in text


def test_nothing_to_report_is_said(tmp_path):
  with pytest.raises(InputError, match="no results in it or below"):
    report.write(tmp_path)


if __name__ == "__main__":
  import tempfile

  with tempfile.TemporaryDirectory() as directory:
    _, text = _written(pathlib.Path(directory) / "w")
  (GOLDEN / "report.md").write_text(text)
  sys.exit(f"wrote {GOLDEN / 'report.md'}; see what changed before it is committed")
