"""Tests of the report of an evaluation: its content, and that names are escaped."""

import json
import re

import numpy as np
import pytest
from matplotlib import image

from mtl_traffic.errors import InputError
from mtl_traffic.serving import assessment_report as report
from mtl_traffic.serving.assessment import assess
from tests.comparison.test_report_escaping import _Page
from tests.serving.test_assessment import CAPTURES, OK, ROWS, answered, observations

NAMES = (
  "<script>alert(1)</script>",
  'a "quoted", [name](javascript:alert(1)) | ![x](/etc/hostname) $\\frac{$ \x1b[2J',
  "測試_" * 50,
)


def written(workdir, observed, **options):
  assessed = assess(observed, num_samples=50)
  options = {"model": "m", "tested_on": "flows", "notices": (), **options}
  page = report.write(observed, assessed, workdir, **options)
  return page, json.loads((workdir / "evaluation.json").read_text())


def test_the_page_needs_no_other_file_and_tells_what_was_found(tmp_path):
  observed = observations(ROWS, CAPTURES, [f"10.0.0.{i % 3}" for i in range(10)])
  page, numbers = written(tmp_path, observed, notices=["2 flows have no label"])
  assert page == tmp_path / "report.html" and numbers["accuracy"] == 0.3
  assert numbers["notices"] == ["2 flows have no label"]
  html, text = page.read_text(), (tmp_path / "report.md").read_text()
  sources = re.findall('(?:src|href)="([^"]{0,30})', html)
  images = [source for source in sources if source[0] != "#"]
  assert len(images) == text.count("![") == 5
  assert all(source.startswith("data:image/png;base64,") for source in images)
  assert re.search(r"\| accuracy +\| 30\.0 +\| \d+\.\d–\d+\.\d +\|", text)
  assert "2 of 3 captures are right" in text and "Note: 2 flows have no label." in text
  assert re.search(r"\| z +\| 2 +\| 1 +\| 1 +\|", text)
  for name in re.findall(r"!\[.*?\]\((.*?)\)", text):
    pixels = image.imread(tmp_path / name)
    assert min(pixels.shape[:2]) > 200 and np.std(pixels) > 0.05


def test_the_report_says_whether_votes_are_divided(tmp_path):
  for i, counts in enumerate(((), (3, 5))):
    (tmp_path / str(i)).mkdir()
    observed = observations(ROWS, CAPTURES, ["10.0.0.1"] * 10, class_counts=counts)
    written(tmp_path / str(i), observed)
    text = " ".join((tmp_path / str(i) / "report.md").read_text().split())
    # In the section on captures, and not in that on addresses.
    assert text.count("are divided by the square root") == i


def test_names_are_shown_and_nothing_else(tmp_path):
  clients = [NAMES[i % 3] for i in range(10)]
  captures = [NAMES[0]] * 4 + [NAMES[1]] * 4 + [NAMES[2]] * 2
  observed = observations(ROWS, captures, clients, class_names=NAMES)
  page, numbers = written(
    tmp_path, observed, model=NAMES[0], tested_on=NAMES[1], notices=NAMES
  )
  assert numbers["confusion"]["classes"] == list(NAMES)
  shown = _Page(page.read_text())
  assert not {tag for tag, _ in shown.tags} & {"script", "iframe", "link"}
  links = [attributes["href"] for tag, attributes in shown.tags if tag == "a"]
  assert links and all(link[0] == "#" for link in links)
  images = [attributes["src"] for tag, attributes in shown.tags if tag == "img"]
  assert len(images) == 5 and all(src.startswith("data:image/png") for src in images)
  assert NAMES[0] in shown.text and NAMES[2] in shown.text
  assert "\x1b" not in page.read_text() + (tmp_path / "report.md").read_text()


def test_two_hundred_classes_can_be_drawn(tmp_path):
  rows = [(i, (i * 7) % 200, 0.5, OK) for i in range(200)]
  names = tuple(f"class {i}" for i in range(200))
  observed = observations(rows, class_names=names, num_known=200)
  written(tmp_path, observed)
  height, width, _ = image.imread(tmp_path / "report/confusion.png").shape
  assert 60 * 20 < height < 4000 and 60 * 20 < width < 4000


def test_a_model_that_is_asked_at_several_points(tmp_path):
  of_class = answered(ROWS)
  observed = observations(ROWS, after={5: of_class, 20: of_class})
  written(tmp_path, observed)
  text = (tmp_path / "report.md").read_text()
  assert "answered after the given number of packets" in text
  assert re.search(r"\| 5 +\| 10 +\| 7 +\| 30\.0", text)


@pytest.mark.parametrize(
  "name", ["evaluation.json", "report.html", "report.md", "report/packets.png"]
)
def test_what_is_there_is_not_replaced(tmp_path, name):
  (tmp_path / name).parent.mkdir(exist_ok=True)
  (tmp_path / name).touch()
  with pytest.raises(InputError, match=f"holds {name} already; take another directory"):
    report.check_absent(tmp_path)
