"""The binaries that sweep a setting, end to end on simulated flows."""

import json
import pathlib
import subprocess
import sys

import pytest

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
  figures = list(tmp_path.glob("*.png"))
  assert len(figures) == (name in ("packet_budget", "lambda_sweep"))


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
  ],
)
def test_values_that_cannot_be_are_named(tmp_path, name, setting, message):
  done = _run(name, tmp_path / "w", setting)
  assert done.returncode == 1
  assert message in done.stderr.splitlines()[-1]
  assert not (tmp_path / "w").exists()
