"""Rows of results beside what others have published under the same rules."""

from collections.abc import Iterable, Sequence

import numpy as np

from mtl_traffic.comparison.rows import budget_order, estimate, group
from mtl_traffic.evaluation import Estimate
from mtl_traffic.tables import Table, percent

INTRODUCTION = (
  "Accuracy and weighted F1 of the class in %, mean over runs ± half of its 95 % "
  "t-interval. Published figures have the interval of their source, if it gives one."
)
_OURS = "here"
_HEADER = (
  "tested on",
  "labels/class",
  "method",
  "runs",
  "class",
  "weighted F1",
  "source",
)


def table(rows: Iterable[dict], published: Iterable[Sequence]) -> Table:
  """Accuracy and weighted F1 of the class, the most accurate method first.

  Test sets without rows are shown as well, with what others report.

  Args:
    rows: of `results.jsonl`.
    published: the setting of that name.
  """
  lines = [
    (*line, estimate(of, "class_accuracy"), estimate(of, "class_weighted_f1"), _OURS)
    for line, of in group(rows, "partition", "labels_per_class", "method").items()
  ]
  lines += [
    (*line, _estimate(accuracy, half_width, runs), _estimate(f1, None, runs), source)
    for *line, accuracy, half_width, f1, runs, source in published
  ]
  test_sets = list(dict.fromkeys(tested_on for tested_on, *_ in lines))

  def place(line: tuple) -> tuple:
    tested_on, labels, _, accuracy, *_ = line
    # A line whose runs all failed comes last.
    return test_sets.index(tested_on), budget_order(labels), -np.nan_to_num(accuracy[0])

  return Table(
    _HEADER,
    [
      [*line, accuracy.num_seeds, percent(accuracy), percent(f1), source]
      for *line, accuracy, f1, source in sorted(lines, key=place)
    ],
  )


def _estimate(mean: float | None, half_width: float | None, runs: int) -> Estimate:
  """Published figures in % as an `Estimate`, with NaN for what is not given."""
  fractions = (np.nan if v is None else v / 100 for v in (mean, half_width))
  return Estimate(*fractions, runs)
