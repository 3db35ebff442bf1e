"""Operations on rows of results: grouping, means, paired differences, tables."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mtl_traffic.evaluation import (
  Estimate,
  balanced_accuracy,
  macro_f1,
  mean_with_interval,
  paired_difference,
  weighted_f1,
)
from mtl_traffic.significance import wilson
from mtl_traffic.tables import Table, percent

ACCURACIES = ("class_accuracy", "bandwidth_accuracy", "duration_accuracy")
# Measures computed from a row's class confusion; they give each class the same weight.
FAIR = {"class_balanced_accuracy": balanced_accuracy, "class_macro_f1": macro_f1}
_OF_CONFUSION = FAIR | {"class_weighted_f1": weighted_f1}

FEW = 10


def group(rows: Iterable[dict], *fields: str) -> dict[tuple, list[dict]]:
  """Groups rows by their values of some fields, in order of first appearance."""
  groups: dict[tuple, list[dict]] = {}
  for row in rows:
    groups.setdefault(tuple(_hashable(row[field]) for field in fields), []).append(row)
  return groups


def estimate(rows: Iterable[dict], field: str) -> Estimate:
  """Mean and interval of a measure over rows, one per seed; None values are skipped."""
  values = [value(row, field) for row in rows]
  return mean_with_interval(np.array([v for v in values if v is not None]))


def value(row: Mapping, field: str) -> float | None:
  """A field of a row, or a measure of its confusion; None if the row has no value."""
  if field not in _OF_CONFUSION:
    return row[field]
  counts = row.get("class_confusion")
  return counts and _OF_CONFUSION[field](np.array(counts))


def over_flows(rows: Iterable[dict]) -> str:
  """The interval of the class accuracy over test flows, in %, such as "88.1–96.0".

  It is Wilson's interval for the size of a single test set. The test sets of several
  seeds overlap, so pooling them would give an interval that is too narrow.

  Args:
    rows: rows of one line of a table, one per seed; failed runs are skipped.
  """
  sizes = [np.sum(row["class_confusion"]) for row in rows if row.get("class_confusion")]
  if not sizes:
    return "–"
  mean = estimate(rows, "class_accuracy").mean
  return "{:.1f}–{:.1f}".format(*(100 * end for end in wilson(mean, np.mean(sizes))))


def few_labels(rows: Iterable[dict]) -> int | str:
  """The budget that stands for few labels: the one closest to ten per class."""
  budgets = {row["labels_per_class"] for row in rows}
  numbers = [labels for labels in budgets if not isinstance(labels, str)]
  if not numbers:
    return min(budgets)
  return min(numbers, key=lambda labels: (abs(labels - FEW), labels))


def accuracy_table(
  rows: Iterable[dict],
  fields: Sequence[str],
  paper: Mapping[tuple, Sequence[float]] | None = None,
  reference: Mapping[str, object] | None = None,
  reference_name: str = "",
) -> Table:
  """Accuracies in %, mean over seeds ± half of the 95 % t-interval.

  For the class there are also the interval over flows, balanced accuracy and macro F1.

  Args:
    rows: rows of `results.jsonl`.
    fields: the fields whose values define a line, e.g. the method. If rows have several
      methods or label budgets, these fields are always added.
    paper: the paper's bandwidth, duration and class accuracy by values of `fields`;
      shown beside the first partition, which was trained on.
    reference: fields and values that select the reference line. The last column is the
      difference in class accuracy to that line, paired by draw.
    reference_name: the name of the reference line.
  """
  rows = list(rows)
  # Runs of other methods or budgets are never averaged together.
  apart = [name for name in _NEVER_POOLED if name not in fields]
  apart = [name for name in apart if len(group(rows, name)) > 1]
  if apart:
    fields, paper = (*apart, *fields), None
  several = len({row["partition"] for row in rows}) > 1
  header = ["tested on"] * several + [_TITLES.get(field, field) for field in fields]
  failures = any(row.get("error") for row in rows)
  header += ["seeds"] + ["failed"] * failures
  header += ["class", "over flows", "balanced", "macro F1", "bandwidth", "duration"]
  if reference:
    header.append(f"class − {reference_name}")
  if paper:
    header += ["paper: class", "bandwidth", "duration"]

  groups = group(rows, "partition", *fields)
  columns = [list(dict.fromkeys(column)) for column in zip(*groups, strict=True)]
  trained_on = columns[0][0]
  lines = []
  for (partition, *values), members in sorted(
    groups.items(), key=lambda item: list(map(_rank, item[0], columns))
  ):
    line = [partition] * several + [shown(value) for value in values]
    failed = {row["seed"] for row in members if row.get("error")}
    line.append(len({row["seed"] for row in members} - failed))
    line += [len(failed)] * failures
    of_class, *others = ACCURACIES
    line += [percent(estimate(members, of_class)), over_flows(members)]
    line += [percent(estimate(members, field)) for field in (*FAIR, *others)]
    if reference:
      line.append(_difference(rows, members, reference))
    if paper:
      known = paper.get(tuple(values)) if partition == trained_on else None
      bandwidth, duration, of_class = known or [None] * 3
      line += ["–" if v is None else v for v in (of_class, bandwidth, duration)]
    lines.append(line)
  return Table(header, lines)


def _difference(
  rows: list[dict], members: list[dict], reference: Mapping[str, object]
) -> str:
  """The difference in class accuracy between some rows and the reference, as text."""
  theirs = where(rows, **reference)
  if members[0] in theirs:
    return ""
  return percent(difference(members, theirs, "class_accuracy", *reference), "+.1f")


def where(rows: Iterable[dict], **fields) -> list[dict]:
  """The rows that have these values."""
  wanted = {name: _hashable(value) for name, value in fields.items()}
  return [row for row in rows if all(_hashable(row[n]) == v for n, v in wanted.items())]


def difference(
  rows: Iterable[dict], reference: Iterable[dict], field: str, *apart: str
) -> Estimate:
  """The mean difference between rows and a reference, paired by draw.

  Args:
    rows: rows of one line of a table.
    reference: rows of another line.
    field: the measure to compare; rows without it are skipped.
    *apart: fields of `_DRAW` that are ignored when pairing.
  """
  same = [name for name in _DRAW if name not in apart]

  def by_draw(rows: Iterable[dict]) -> dict[tuple, float]:
    return {
      draw: row[field]
      for draw, (row, *_) in group(rows, *same).items()
      if row[field] is not None
    }

  return paired_difference(by_draw(rows), by_draw(reference))


# Rows that agree in these fields are of one method with the same labels and packets,
# tested on the same flows.
_DRAW = ("partition", "method", "labels_per_class", "seed", "packets")
_NEVER_POOLED = ("method", "labels_per_class")
_TITLES = {
  "labels_per_class": "labels/class",
  "lambda": "λ",
  "tasks": "auxiliary tasks",
  "bandwidth_dividers": "bandwidth dividers (bytes/s; – = midpoints)",
  "duration_dividers": "duration dividers (s; – = midpoints)",
  "signed_lengths": "signed lengths",
  "learning_rate": "learning rate",
  "shortest_prefix": "shortest training prefix",
}
_NAMED = {
  "bandwidth_dividers": "bandwidth dividers",
  "duration_dividers": "duration dividers",
  "signed_lengths": "signed lengths:",
  "mask": "mask of",
}


def _hashable(value: object) -> object:
  return tuple(value) if isinstance(value, list) else value


def shown(value: object, field: str = "") -> str:
  """A value as text; with the name of its field, if a field that needs it is given."""
  if value is None:
    text = "–"
  elif isinstance(value := _hashable(value), tuple):
    items = (f"{one:g}" if isinstance(one, int | float) else one for one in value)
    text = ", ".join(items) or "–"
  else:
    text = str(value)
  if field == "labels_per_class":
    return f"{text} labels"
  if field == "tasks":
    return "nothing" if text == "–" else text
  return f"{_NAMED[field]} {text}" if field in _NAMED else text


def _rank(value: object, column: list) -> float:
  """Numbers by size, "all" after them, anything else in order of appearance."""
  if any(type(other) in (int, float) for other in column):
    return budget_order(value)
  return column.index(value)


def budget_order(labels: int | str | None) -> float:
  """A sorting key for label budgets: None comes first, "all" last."""
  if labels is None:
    return -np.inf
  return np.inf if isinstance(labels, str) else labels
