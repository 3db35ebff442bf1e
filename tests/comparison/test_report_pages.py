"""Tests of the content of reports on made-up results, and of their layout."""

import json
import re

import pytest

from mtl_traffic.comparison import report
from mtl_traffic.errors import InputError
from mtl_traffic.serving import assessment_report
from mtl_traffic.serving.assessment import assess
from tests import browser
from tests.comparison.made_up import SETTINGS, write_results
from tests.serving.test_assessment import OK, observations

MANY = [f"some-device-{'x' * (i % 9)}-{i}" for i in range(27)]
CALL = {
  "date": "2026-01-31",
  "command": "python -m experiments.paper " + "--config.paper=" + "1," * 200,
  "commit": "0123456789",
  "machine": "a machine, 2 cores",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Reports on two datasets, and the report of an evaluation."""
  folder = tmp_path_factory.mktemp("reports")
  sweeps = {
    name: SETTINGS.replace(methods=("multitask",), labels_per_class=(10,))
    for name in ("lambda_sweep", "auxiliary_tasks", "authors_variants")
  }
  write_results(
    folder / "few", "few", ["a", "b"], {"label_budget": SETTINGS, **sweeps}, [CALL]
  )
  nine = (*SETTINGS.methods, *(f"a_method_of_a_long_name_{i}" for i in range(6)))
  many = SETTINGS.replace(methods=nine, labels_per_class=(1, 5, 10, 20, 50, 100, "all"))
  write_results(folder / "many", "many", MANY, {"label_budget": many}, [CALL])
  rows = [(i, (i * 7) % 27, 0.5 + i / 60, OK) for i in range(27)]
  observed = observations(rows, class_names=tuple(MANY), num_known=27)
  assessment_report.write(
    observed,
    assess(observed, num_samples=20),
    folder / "evaluation",
    model="m",
    tested_on="flows",
  )
  report.write(folder)
  return folder


def _text(folder, name):
  return (folder / name).read_text()


def _lines(text):
  """The cells of each line of a Markdown table."""
  lines = [line for line in text.splitlines() if line.startswith("|")]
  return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_page_begins_with_the_findings(folder):
  first = _text(folder, "report_few.md").split("**Contents**")[0]
  assert "**Best with 10 labels per class: whole_flow_distillation**" in first
  # Wilson's interval of 18 of 20 flows.
  assert "accuracy of 90.0 ± 0.0 % (interval over flows: 69.9–97.2 %)" in first
  gain = "**+10.0 ± 0.0 points against the paper's multitask**, paired over 2 seeds."
  assert gain in first
  found = re.search(
    r"on \[(\d+) claims of the paper\]\(#what-the-paper-claims\): (\d+) × does not "
    r"hold, (\d+) × holds, (\d+) × inconclusive",
    first,
  )
  total, *verdicts = map(int, found.groups())
  assert total == sum(verdicts) > 0


def test_methods_are_sorted_by_accuracy_with_few_labels(folder):
  text = _text(folder, "report_few.md").split("## Accuracy against labels")[1]
  header, _, *lines = _lines(text.split("![")[0])
  assert header == ["labels per class", "10", "100", "10: − multitask", "seeds"]
  assert lines == [
    ["whole_flow_distillation", "90.0 ± 0.0", "100.0 ± 0.0", "+10.0 ± 0.0", "2"],
    ["multitask", "80.0 ± 0.0", "90.0 ± 0.0", "", "2"],
    ["single_task", "60.0 ± 0.0", "70.0 ± 0.0", "-20.0 ± 0.0", "2"],
  ]


def test_a_page_on_top_compares_datasets(folder):
  text = _text(folder, "report.md")
  assert "[few, trained on training](report_few.md)" in text
  assert "[many, trained on training](report_many.md)" in text
  header, _, *lines = _lines(text)
  assert header == ["dataset", "method", "1", "5", "10", "20", "50", "100", "all"]
  of = {(dataset, method): cells for dataset, method, *cells in lines}
  assert of["few", "multitask"] == [
    *["–", "–", "80.0 ± 0.0", "–", "–", "90.0 ± 0.0", "–"]
  ]
  assert of["many", "multitask"] == [
    *["80.0 ± 0.0"] * 5,
    "90.0 ± 0.0",
    "80.0 ± 0.0",
  ]


def test_long_tables_are_folded_and_how_it_was_made_comes_last(folder):
  html = _text(folder, "report_many.html")
  inside = html.split("<summary>Each class, in %</summary>")[1].split("</details>")[0]
  assert inside.count("<tr>") == 28
  last = html.split('id="how-this-was-made"')[1]
  assert "2026-01-31, a machine, 2 cores, commit 0123456789" in last
  assert "<h2" not in last


def test_runs_that_all_failed_are_reported(tmp_path):
  sweep = SETTINGS.replace(methods=("multitask",), labels_per_class=(10,))
  experiments = {"label_budget": SETTINGS, "lambda_sweep": sweep, "labelling": sweep}
  write_results(tmp_path, "few", ["a", "b"], experiments)
  for path in tmp_path.glob("*/results.jsonl"):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
      row |= {name: None for name in row if name.endswith(("accuracy", "confusion"))}
    path.write_text("".join(json.dumps(row | {"error": "x"}) + "\n" for row in rows))
  report.write(tmp_path)
  text = (tmp_path / "report.md").read_text()
  assert "Best with" not in text and "Which classes are confused" not in text
  assert "| multitask" in text
  assert "labelled in three ways" in text


def test_a_row_of_another_number_of_classes_is_one_line(tmp_path):
  write_results(tmp_path, "few", ["a", "b"], {"label_budget": SETTINGS})
  config = tmp_path / "label_budget" / "config.json"
  config.write_text(config.read_text().replace('["a", "b"]', '["a", "b", "c"]'))
  with pytest.raises(InputError, match="line 1: class_confusion has 2 classes, but "):
    report.write(tmp_path)


@browser.needs_chromium
def test_pages_fit_a_desk_and_a_telephone(folder):
  pages = [
    folder / f"{name}.html"
    for name in ("report", "report_few", "report_many", "evaluation/report")
  ]
  measured, console = browser.measure(pages)
  assert console == []
  for (page, width), seen in measured.items():
    assert seen["full"] == seen["width"] == width, page
    assert seen["beyond"] == [] and seen["small"] == [], page
    assert seen["images"] and all(wide > 200 for _, wide in seen["images"])
    for link in seen["links"]:
      if link[0] == "#":
        assert link[1:] in seen["targets"]
      else:
        assert (page.parent / link).exists()
  links = measured[folder / "report.html", browser.WIDTHS[0]]["links"]
  assert {"report_few.html", "report_many.html"} <= set(links)


@browser.needs_chromium
def test_the_browser_sees_what_is_too_wide_or_too_small(tmp_path):
  page = tmp_path / "page.html"
  page.write_text(
    "<!doctype html><p style='font-size: 8px'>small</p>"
    "<div style='width: 1000px'>wide</div><script>nonsense()</script>"
  )
  measured, console = browser.measure([page])
  desk, telephone = (measured[page, width] for width in browser.WIDTHS)
  assert desk["small"] == telephone["small"] == [["P", 8]]
  assert desk["beyond"] == [] and len(telephone["beyond"]) == 1
  assert telephone["full"] > 390
  assert any("nonsense" in line for line in console)
