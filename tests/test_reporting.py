import numpy as np
from matplotlib import image

from mtl_traffic import reporting
from mtl_traffic.evaluation import Estimate


def _row(method, labels, seed, accuracy, partition="p", bandwidth=None):
  return {
    "method": method,
    "labels_per_class": labels,
    "seed": seed,
    "partition": partition,
    "class_accuracy": accuracy,
    "bandwidth_accuracy": bandwidth,
    "duration_accuracy": bandwidth,
  }


ROWS = [
  _row("single", 10, 0, 0.70),
  _row("multi", "all", 0, 0.99, bandwidth=0.5),
  _row("multi", 10, 0, 0.90, bandwidth=0.8),
  _row("multi", 10, 1, 0.94, bandwidth=0.8),
]


def test_label_budget_table():
  table = reporting.label_budget_table(ROWS, {("multi", 10): (89.33, 91.0, 93.33)})
  # t(0.975, 1) = 12.706; deviation of 0.90 and 0.94 over the root of 2 is 0.02.
  assert (
    table
    == """\
Accuracy in %, mean over seeds ± half of its 95 % t-interval.

Tested on `p`:

| method | labels/class | seeds | class       | bandwidth  | duration   | \
paper: class | bandwidth | duration |
| ------ | ------------ | ----- | ----------- | ---------- | ---------- | \
------------ | --------- | -------- |
| multi  | 10           | 2     | 92.0 ± 25.4 | 80.0 ± 0.0 | 80.0 ± 0.0 | \
93.33        | 89.33     | 91.0     |
| multi  | all          | 1     | 99.0        | 50.0       | 50.0       | \
–            | –         | –        |
| single | 10           | 1     | 70.0        | –          | –          | \
–            | –         | –        |
"""
  )


def test_a_table_for_each_tested_partition():
  rows = [*ROWS, _row("multi", 10, 0, 0.5, partition="other")]
  table = reporting.label_budget_table(rows, {})
  assert table.count("Tested on") == 2
  assert "paper" not in table


def test_percent():
  assert reporting.percent(Estimate(0.5, np.nan, 1)) == "50.0"
  assert reporting.percent(Estimate(np.nan, np.nan, 0)) == "–"


def test_figure_is_drawn(tmp_path):
  rows = [*ROWS, _row("multi", 10, 0, 0.5, partition="other")]
  path = tmp_path / "figure.png"
  reporting.label_budget_figure(rows, {("multi", 10): (89.33, 91.0, 93.33)}, path)
  pixels = image.imread(path)
  assert pixels.shape[1] > pixels.shape[0] > 200
  assert pixels.std() > 0.05
