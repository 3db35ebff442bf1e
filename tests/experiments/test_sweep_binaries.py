"""Tests of the experiments' programs, end to end on simulated flows."""

import json
import pathlib
import subprocess
import sys

import pytest

from mtl_traffic.balancing import BALANCINGS
from mtl_traffic.methods import ABLATIONS

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = (
  "--config.methods=('multitask',)",
  "--config.labels_per_class=(5,)",
  "--config.num_seeds=2",
  "--config.epochs=1",
  "--config.test_per_class=10",
  "--config.validation_per_class=5",
)


def _run(name, workdir, *settings):
  return subprocess.run(
    [
      *(sys.executable, "-m", f"experiments.{name}", f"--workdir={workdir}"),
      *SMOKE,
      *settings,
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )


@pytest.mark.parametrize(
  ("name", "setting", "field", "values"),
  [
    ("packet_budget", "--config.packet_budgets=(8,12)", "k", [8, 12]),
    ("lambda_sweep", "--config.lambdas=(0.5,9.0)", "lambda", [0.5, 9.0]),
    (
      "learning_rate_sweep",
      "--config.learning_rates=(1e-3,1e-2)",
      "learning_rate",
      [1e-3, 1e-2],
    ),
    (
      "divider_sweep",
      "--config.divider_rows=(((),()),((1e5,),(30.0,)))",
      "duration_dividers",
      [[], [30.0]],
    ),
    (
      "auxiliary_tasks",
      "--config.task_sets=((),('bursts','duration'))",
      "tasks",
      [[], ["bursts", "duration"]],
    ),
  ],
)
def test_rows_and_table_of_each_value(tmp_path, name, setting, field, values):
  done = _run(name, tmp_path, setting, "--config.k=12")
  assert done.returncode == 0, done.stderr
  lines = (tmp_path / "results.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  assert len(rows) == 4
  assert all([row[field] for row in rows].count(value) == 2 for value in values)
  table = (tmp_path / "table.md").read_text()
  assert len(table.splitlines()) == 2 + 2 + 2
  assert table in done.stdout
  assert (tmp_path / "table.csv").exists()
  assert [path.name for path in tmp_path.glob("*.png")] == [f"{name}.png"]


def test_loss_balancing_compares_each_with_the_sum(tmp_path):
  done = _run("loss_balancing", tmp_path, "--config.k=12", "--config.num_seeds=1")
  assert done.returncode == 0, done.stderr
  header, _, *lines = (tmp_path / "table.md").read_text().splitlines()[2:]
  assert "class − sum" in header
  assert [line.split("|")[3].strip() for line in lines] == list(BALANCINGS)
  assert [line.split("|")[-2].strip() == "" for line in lines] == [True] + [False] * 3


def test_a_protocol_has_its_own_budgets_and_figures(tmp_path):
  settings = ("--config=tcbench", "--config.train_partition=simulated", "--config.k=12")
  settings += ("--dataset=simulated", "--config.test_per_class=-20")
  done = _run("protocol", tmp_path, *settings)
  assert done.returncode == 0, done.stderr
  table = (tmp_path / "table.md").read_text()
  assert table in done.stdout
  assert "| multitask  " in table
  assert "tcbench, IMC 2023, Table 4" in table
  assert (tmp_path / "protocol.png").exists()


def test_the_authors_variants(tmp_path):
  done = _run("authors_variants", tmp_path, "--config.k=12", "--config.num_seeds=1")
  assert done.returncode == 0, done.stderr
  lines = (tmp_path / "results.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  assert [(row["mask"], row["signed_lengths"]) for row in rows].count(
    ("loss", True)
  ) == 2
  assert {len(row["duration_dividers"]) for row in rows} == {0, 3}
  assert len(rows) == 5


def test_one_model_for_any_number_of_packets(tmp_path):
  settings = ("--config.packet_budgets=(5,8)", "--config.shortest_prefix=4")
  done = _run("any_k", tmp_path, *settings)
  assert done.returncode == 0, done.stderr
  lines = (tmp_path / "results.jsonl").read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  asked = sorted((row["shortest_prefix"] or 0, row["packets"]) for row in rows)
  # The network cannot be built for 5 packets alone.
  assert asked == [(0, 8)] * 2 + [(4, 5)] * 2 + [(4, 8)] * 2
  table = (tmp_path / "table.md").read_text()
  assert "class − a model per number" in table
  assert len(table.splitlines()) == 2 + 2 + 3
  assert (tmp_path / "any_k.png").exists()


def test_ablation_compares_the_whole_with_what_lacks_a_part(tmp_path):
  done = _run("ablation", tmp_path, "--config.k=12", "--config.num_seeds=1")
  assert done.returncode == 0, done.stderr
  header, _, whole, *others = (tmp_path / "table.md").read_text().splitlines()[2:]
  assert "class − full method" in header
  assert "| whole_flow_distillation " in whole
  assert len(others) == len(ABLATIONS)
  assert all(line.split("|")[-2].strip()[0] in "+-" for line in others)


def test_the_whole_evaluation_can_be_continued_and_ends_with_a_report(tmp_path):
  settings = (
    *("--config.k=16", "--config.num_seeds=1", "--methods=multitask,nearest_neighbor"),
    *("--config.packet_budgets=(16,)", "--config.lambdas=(1.0,)"),
    "--config.task_sets=(('bandwidth','duration'),)",
  )
  first = _run("paper", tmp_path, *settings)
  assert first.returncode == 0, first.stderr
  text = (tmp_path / "report.md").read_text()
  for title in (
    "Tables III and V",
    "Table IV",
    "section VI",
    "Figures 5 and 7",
    "Figures 6 and 8",
    "Effect of the differences between the authors",
    "Duration (s)",
  ):
    assert title in text
  assert "| nearest_neighbor | 5 " in text
  assert "| multitask        | all " in text
  results = {path: path.read_text() for path in tmp_path.rglob("results.jsonl")}
  assert len(results) == 6
  (tmp_path / "report.html").unlink()
  again = _run("paper", tmp_path, *settings)
  assert again.returncode == 0, again.stderr
  assert (tmp_path / "report.html").exists()
  assert results == {path: path.read_text() for path in results}  # Nothing ran twice.


@pytest.mark.parametrize(
  ("name", "setting", "message"),
  [
    ("auxiliary_tasks", "--config.task_sets=(('hue',),)", "'hue' is unknown"),
    (
      "divider_sweep",
      "--config.divider_rows=(((5.0,1.0),()),)",
      "bandwidth_dividers: (5.0, 1.0) must be",
    ),
    ("packet_budget", "--config.packet_budgets=(60,3)", "k = 3 packets are too few"),
    ("any_k", "--config.packet_budgets=(4,60)", "shortest_prefix = 5 must be 1 to 4"),
    ("lambda_sweep", "--config.mask=magic", "mask: 'magic' is unknown; there are loss"),
    ("paper", "--methods=multitask,magic", "method 'magic' is unknown"),
    ("paper", "--config.test_per_class=500", "too few flows"),
  ],
)
def test_values_that_cannot_be_are_named(tmp_path, name, setting, message):
  done = _run(name, tmp_path / "w", setting)
  assert done.returncode == 1
  assert message in done.stderr.splitlines()[-1]
  assert not (tmp_path / "w").exists()
