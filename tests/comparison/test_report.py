"""The report of fixed, made-up rows equals a golden file.

If the report is meant to change, `python tests/comparison/test_report.py` writes the
golden file anew; then read the diff.
"""

import json
import pathlib
import re
import shutil
import subprocess
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
  sources = re.findall('src="([^"]{0,30})', html)
  assert len(sources) == text.count("![") == 3
  assert all(source.startswith("data:image/png;base64,") for source in sources)
  assert all(link[0] == "#" for link in re.findall('href="(.*?)"', html))
  assert "<td>does not hold</td>" in html
  for name in re.findall(r"!\[.*?\]\((.*?)\)", text):
    assert (tmp_path / "w" / name).stat().st_size > 10_000


def test_runs_that_cannot_be_compared_are_reported_apart(tmp_path):
  shutil.copytree(GOLDEN / "results", tmp_path / "w" / "a")
  shutil.copytree(GOLDEN / "results", tmp_path / "w" / "b")
  for path in (tmp_path / "w" / "b").glob("*/config.json"):
    path.write_text(path.read_text().replace('"epochs": 20', '"epochs": 5'))
  top = report.write(tmp_path / "w").read_text()
  for number in (1, 2):
    stem = f"report_made-up.{number}"
    text = (tmp_path / "w" / f"{stem}.md").read_text()
    assert text.count("## What the paper claims") == 1
    assert f"]({stem}/label_budget.png)" in text
    assert (tmp_path / "w" / stem / "label_budget.png").exists()
    assert f'href="{stem}.html"' in top
  for epochs in (20, 5):
    assert f"made-up, trained on pretraining (epochs = {epochs})" in top


def test_nothing_to_report_is_said(tmp_path):
  with pytest.raises(InputError, match="no results in or below it"):
    report.write(tmp_path)


@pytest.mark.parametrize("config", ['{"model_type": "bert"}', "[]", "{", ""])
def test_what_no_experiment_made_is_left_out(tmp_path, config):
  shutil.copytree(GOLDEN / "results", tmp_path / "w")
  other = tmp_path / "w" / "other"
  other.mkdir()
  (other / "config.json").write_text(config)
  (other / "results.jsonl").write_text("nonsense\n")
  report.write(tmp_path / "w")
  assert (tmp_path / "w" / "report.md").read_text() == (
    GOLDEN / "report.md"
  ).read_text()


def test_learning_rates_alone_are_reported(tmp_path):
  lines = (GOLDEN / "results/lambda_sweep/results.jsonl").read_text().splitlines()
  config = json.loads((GOLDEN / "results/lambda_sweep/config.json").read_text())
  config["meaning"]["experiment"] = "learning_rate_sweep"
  del config["meaning"]["learning_rate"]  # Because the runs differ in it.
  config["meaning"]["lambda_"] = 1.0
  rates = {0.1: 1e-4, 10.0: 1e-3, 1000.0: 1e-2}
  rows = [
    {**row, "lambda": 1.0, "learning_rate": rates[row["lambda"]]}
    for row in map(json.loads, lines)
  ]
  (tmp_path / "config.json").write_text(json.dumps(config))
  results = "".join(json.dumps(row) + "\n" for row in rows)
  (tmp_path / "results.jsonl").write_text(results)
  report.write(tmp_path)
  text = (tmp_path / "report.md").read_text()
  assert "Adam at 0.0001, 0.001, 0.01 in" in text
  assert re.search(r"\| 0\.0001 +\| 3 +\| 86\.7 ", text)
  assert "Best with" not in text  # Because no methods were compared.


def test_the_command_takes_no_jax(tmp_path):
  shutil.copytree(GOLDEN / "results", tmp_path / "w")
  command = f"""
import sys
from mtl_traffic.commands import main
try:
  main.main(["report", "--workdir={tmp_path / "w"}"])
finally:
  print("jax" in sys.modules)
"""
  done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
  assert done.stdout.splitlines() == [
    f"The report is in {tmp_path / 'w' / 'report.html'}",
    "False",
  ], done.stderr
  assert (tmp_path / "w" / "report.html").exists()


if __name__ == "__main__":
  import tempfile

  with tempfile.TemporaryDirectory() as directory:
    _, text = _written(pathlib.Path(directory) / "w")
  (GOLDEN / "report.md").write_text(text)
  sys.exit(f"wrote {GOLDEN / 'report.md'}; see what changed before it is committed")
