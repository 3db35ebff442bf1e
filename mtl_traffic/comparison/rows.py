"""Rows of results: grouped, estimated, paired, and as a table of accuracies."""

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
# What follows from a row's class confusion, and counts small classes like large ones.
FAIR = {"class_balanced_accuracy": balanced_accuracy, "class_macro_f1": macro_f1}
_OF_CONFUSION = FAIR | {"class_weighted_f1": weighted_f1}

FEW = 10


def group(rows: Iterable[dict], *fields: str) -> dict[tuple, list[dict]]:
  """The rows by their values of some fields, in order of first appearance."""
  groups: dict[tuple, list[dict]] = {}
  for row in rows:
    groups.setdefault(tuple(_hashable(row[field]) for field in fields), []).append(row)
  return groups


def estimate(rows: Iterable[dict], field: str) -> Estimate:
  """Mean and interval of a measure over rows, one a seed; those without don't count."""
  values = [value(row, field) for row in rows]
  return mean_with_interval(np.array([v for v in values if v is not None]))


def value(row: Mapping, field: str) -> float | None:
  """A field of a row, or what follows from its confusion; None where it has none."""
  if field not in _OF_CONFUSION:
    return row[field]
  counts = row.get("class_confusion")
  return counts and _OF_CONFUSION[field](np.array(counts))


def over_flows(rows: Iterable[dict]) -> str:
  """The interval of the class accuracy over test flows, in %, as "88.1–96.0".

  It is that of one test set, whose size their confusions tell: seeds have test flows in
  common, so that all of theirs together are fewer than they seem.

  Args:
    rows: of one line of a table, one a seed; those that failed don't count.
  """
  sizes = [np.sum(row["class_confusion"]) for row in rows if row.get("class_confusion")]
  if not sizes:
    return "–"
  mean = estimate(rows, "class_accuracy").mean
  return "{:.1f}–{:.1f}".format(*(100 * end for end in wilson(mean, np.mean(sizes))))


def few_labels(rows: Iterable[dict]) -> int | str:
  """The budget that stands for few labels: the one closest to ten a class."""
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

  Of the class, the interval over flows, balanced accuracy and macro F1 as well.

  Args:
    rows: of `results.jsonl`.
    fields: what tells one line of the table from another, e.g. the method. Where rows
      are of several methods or label budgets, these do so in any case.
    paper: by values of `fields` the paper's bandwidth, duration and class accuracy, to
      stand beside those of the first partition, the one that was trained on.
    reference: fields and their values; the lines show by how much their class accuracy
      differs from the line of those values, run by run on the same draws.
    reference_name: what to call that line.
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
  """How the class accuracy of some rows differs from that of their counterparts."""
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
  """By how much rows exceed those of a reference, paired by what was drawn.

  Args:
    rows: of one line of a table.
    reference: of another line.
    field: what to compare; rows without it do not count.
    *apart: fields in which the two lines may differ though they usually tell draws or
      methods apart.
  """
  same = [name for name in _DRAW if name not in apart]

  def by_draw(rows: Iterable[dict]) -> dict[tuple, float]:
    return {
      draw: row[field]
      for draw, (row, *_) in group(rows, *same).items()
      if row[field] is not None
    }

  return paired_difference(by_draw(rows), by_draw(reference))


# Rows of a method that agree in these saw the same labels and packets, and were tested
# on the same flows.
_DRAW = ("partition", "method", "labels_per_class", "seed", "packets")
_NEVER_POOLED = ("method", "labels_per_class")
_TITLES = {
  "labels_per_class": "labels/class",
  "lambda": "λ",
  "tasks": "learnt beside the class",
  "bandwidth_dividers": "bandwidth dividers (bytes/s; – = midpoints)",
  "duration_dividers": "duration dividers (s; – = midpoints)",
  "signed_lengths": "signed lengths",
  "learning_rate": "learning rate",
  "shortest_prefix": "trained on prefixes from",
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
  """A value as text; with what it is of, where a field that needs it is given."""
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
  """What to sort label budgets by: "all" comes last, none first."""
  if labels is None:
    return -np.inf
  return np.inf if isinstance(labels, str) else labels
