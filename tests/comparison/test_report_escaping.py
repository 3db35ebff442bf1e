"""Names of classes, datasets and partitions are escaped in the report."""

import html.parser
import json

import pytest

from mtl_traffic.comparison import flow_statistics, report
from mtl_traffic.errors import InputError
from mtl_traffic.runs import Run

NAMES = (
  "<script>alert(1)</script>",
  '<img src="/etc/hostname">',
  "![x](/etc/hostname) [y](javascript:alert(1)) $\\frac{$",
)


class _Page(html.parser.HTMLParser):
  def __init__(self, text):
    super().__init__()
    self.tags, self.text = [], ""
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    self.tags.append((tag, dict(attributes)))

  def handle_data(self, data):
    self.text += data


def _write_results(path, method="multitask"):
  """Writes the work directory of an experiment of two seeds, with hostile names."""
  path.mkdir(parents=True)
  meaning = {
    "experiment": "label_budget",
    "dataset": NAMES[0],
    "train_partition": NAMES[1],
    "classes": NAMES,
    "num_flows": 9,
    "test_per_class": 1,
    "validation_per_class": 1,
    "epochs": 1,
    "learning_rate": 1e-3,
    "batch_size": 8,
  }
  paper = {"paper": [], "paper_dataset": "", "paper_dividers": []}
  config = {"meaning": meaning, "extent": {}, "paper": paper, "versions": {}}
  (path / "config.json").write_text(json.dumps(config))
  rows = []
  for seed in range(2):
    run = Run(method=method, labels_per_class=1, seed=seed, k=8, packets=8)
    row = {"dataset": NAMES[0], "partition": NAMES[1], **run.identity(), "seconds": 1}
    for task in ("class", "bandwidth", "duration"):
      row |= {f"{task}_accuracy": 0.5, f"{task}_confusion": [[1, 0, 0]] * 3}
    rows.append(json.dumps(row | {"validation_class_accuracy": 0.5}) + "\n")
  (path / "results.jsonl").write_text("".join(rows))


def test_names_are_shown_and_nothing_else(tmp_path, flows):
  _write_results(tmp_path / "label_budget")
  named = flows.replace(class_names=NAMES, partition_names=NAMES[:1])
  flow_statistics.write(NAMES[0], named, tmp_path / "flow_statistics")
  page = _Page(report.write(tmp_path).read_text())
  tags = {tag for tag, _ in page.tags}
  assert not tags & {"script", "iframe", "link", "object"}
  links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
  assert links and all(link[0] == "#" for link in links)
  images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
  # The figure of the label budget, a confusion matrix, and two histograms of flows.
  assert len(images) == 4
  assert all(source.startswith("data:image/png;base64,iVBOR") for source in images)
  assert all(name in page.text for name in NAMES)


def test_the_page_tells_the_browser_to_run_and_fetch_nothing(tmp_path):
  _write_results(tmp_path / "w")
  (policy,) = [
    attributes["content"]
    for tag, attributes in _Page(report.write(tmp_path / "w").read_text()).tags
    if attributes.get("http-equiv") == "Content-Security-Policy"
  ]
  assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
  assert "unsafe" not in policy


def test_the_name_of_a_method_leads_to_no_other_folder(tmp_path):
  _write_results(tmp_path / "w" / "label_budget", method="../../../evil")
  report.write(tmp_path / "w")
  assert not list(tmp_path.glob("*evil*"))
  assert (tmp_path / "w" / "report" / "confusion__________evil.png").exists()


@pytest.mark.parametrize("content", ["{}", '{"meaning": []}', "[" * 100_000])
def test_a_config_that_no_experiment_wrote_is_left_out(tmp_path, content):
  _write_results(tmp_path / "w")
  (tmp_path / "w" / "config.json").write_text(content)
  with pytest.raises(InputError, match="no results in or below it"):
    report.write(tmp_path / "w")


def test_a_row_that_lacks_a_field_is_one_line(tmp_path):
  _write_results(tmp_path / "w")
  path = tmp_path / "w" / "results.jsonl"
  rows = path.read_text().replace('"class_confusion"', '"confusion"')
  path.write_text(rows)
  with pytest.raises(
    InputError, match=r"results\.jsonl, line 1: the row lacks the field class_con"
  ):
    report.write(tmp_path / "w")
