"""Rows of results as tables and figures that can be pasted into a paper."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from mtl_traffic.calibration import Coverage
from mtl_traffic.evaluation import Estimate, mean_with_interval, paired_difference

ACCURACIES = ("class_accuracy", "bandwidth_accuracy", "duration_accuracy")


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of cells that are ready to be shown."""

  header: Sequence[str]
  rows: Sequence[Sequence[object]]

  def markdown(self) -> str:
    """Markdown, its columns aligned so that it reads well as plain text."""
    return markdown_table(self.header, self.rows)

  def csv(self) -> str:
    """Comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([self.header, *self.rows])
    return text.getvalue()


def group(rows: Iterable[dict], *fields: str) -> dict[tuple, list[dict]]:
  """The rows by their values of some fields, in order of first appearance."""
  groups: dict[tuple, list[dict]] = {}
  for row in rows:
    groups.setdefault(tuple(_hashable(row[field]) for field in fields), []).append(row)
  return groups


def estimate(rows: Iterable[dict], field: str) -> Estimate:
  """Mean and interval of a field over rows, one a seed; rows without it don't count."""
  return mean_with_interval(
    np.array([row[field] for row in rows if row[field] is not None])
  )


def percent(value: Estimate, form: str = ".1f") -> str:
  """An accuracy as in "93.3 ± 1.2"; "–" if there is none."""
  if np.isnan(value.mean):
    return "–"
  interval = "" if np.isnan(value.half_width) else f" ± {100 * value.half_width:.1f}"
  return f"{100 * value.mean:{form}}{interval}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
  """A Markdown table, its columns aligned so that it reads well as plain text."""
  cells = [[str(cell) for cell in row] for row in (header, *rows)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  cells.insert(1, ["-" * width for width in widths])
  return "".join(
    "| " + " | ".join(map(str.ljust, row, widths)) + " |\n" for row in cells
  )


def accuracy_table(
  rows: Iterable[dict],
  fields: Sequence[str],
  paper: Mapping[tuple, Sequence[float]] | None = None,
  reference: tuple[str, object] | None = None,
) -> Table:
  """Accuracies in %, mean over seeds ± half of the 95 % t-interval.

  Args:
    rows: of `results.jsonl`.
    fields: what tells one line of the table from another, e.g. the method.
    paper: by values of `fields` the paper's bandwidth, duration and class accuracy, to
      stand beside those of the first partition, the one that was trained on.
    reference: a field and its value; the lines show by how much their class accuracy
      differs from the line of that value, run by run on the same draws.
  """
  rows = list(rows)
  several = len({row["partition"] for row in rows}) > 1
  header = ["tested on"] * several + [_TITLES.get(field, field) for field in fields]
  header += ["seeds", "class", "bandwidth", "duration"]
  if reference:
    header.append(f"class − {_shown(_hashable(reference[1]))}")
  if paper:
    header += ["paper: class", "bandwidth", "duration"]

  groups = group(rows, "partition", *fields)
  columns = [list(dict.fromkeys(column)) for column in zip(*groups, strict=True)]
  trained_on = columns[0][0]
  lines = []
  for (partition, *values), members in sorted(
    groups.items(), key=lambda item: list(map(_rank, item[0], columns))
  ):
    line = [partition] * several + [_shown(value) for value in values]
    line.append(len({row["seed"] for row in members}))
    line += [percent(estimate(members, field)) for field in ACCURACIES]
    if reference:
      line.append(_difference(rows, members, *reference))
    if paper:
      known = paper.get(tuple(values)) if partition == trained_on else None
      bandwidth, duration, of_class = known or [None] * 3
      line += ["–" if v is None else v for v in (of_class, bandwidth, duration)]
    lines.append(line)
  return Table(header, lines)


def _difference(
  rows: list[dict], members: list[dict], field: str, value: object
) -> str:
  """How the class accuracy of some rows differs from that of their counterparts."""
  if _hashable(members[0][field]) == _hashable(value):
    return ""
  same = [name for name in _DRAW if name != field]
  theirs = [row for row in rows if _hashable(row[field]) == _hashable(value)]

  def by_draw(rows: list[dict]) -> dict[tuple, float]:
    return {
      draw: row["class_accuracy"]
      for draw, (row, *_) in group(rows, *same).items()
      if row["class_accuracy"] is not None
    }

  return percent(paired_difference(by_draw(members), by_draw(theirs)), "+.1f")


# Rows that agree in these were tested on the same flows and saw the same labels.
_DRAW = ("partition", "labels_per_class", "seed", "k")
_TITLES = {
  "labels_per_class": "labels/class",
  "lambda": "λ",
  "tasks": "learnt beside the class",
  "bandwidth_dividers": "bandwidth dividers (bytes/s; – = midpoints)",
  "duration_dividers": "duration dividers (s; – = midpoints)",
}


def _hashable(value: object) -> object:
  return tuple(value) if isinstance(value, list) else value


def _shown(value: object) -> str:
  if not isinstance(value, tuple):
    return str(value)
  return (
    ", ".join(f"{item:g}" if isinstance(item, int | float) else item for item in value)
    or "–"
  )


def label_budget_figure(
  rows: Iterable[dict],
  paper: Mapping[tuple, Sequence[float]],
  path: str | pathlib.Path,
) -> None:
  """Class accuracy against labels per class, a panel for each tested partition."""
  partitions = group(rows, "partition")
  figure = Figure(figsize=(3 + 4.5 * len(partitions), 3.8), layout="constrained")
  panels = figure.subplots(1, len(partitions), sharey=True, squeeze=False)[0]
  for panel, ((partition,), of_partition) in zip(
    panels, partitions.items(), strict=True
  ):
    budgets = sorted({row["labels_per_class"] for row in of_partition}, key=_budget)
    # Evenly spaced places, so that "all" has one too.
    place = {labels: x for x, labels in enumerate(budgets)}
    methods = group(of_partition, "method")
    for number, ((method,), members) in enumerate(methods.items()):
      of_budget = group(members, "labels_per_class")
      known = [labels for labels in budgets if (labels,) in of_budget]
      estimates = [estimate(of_budget[labels,], "class_accuracy") for labels in known]
      # Side by side, so that no interval hides another.
      beside = 0.03 * (number - (len(methods) - 1) / 2)
      panel.errorbar(
        [place[labels] + beside for labels in known],
        [100 * value.mean for value in estimates],
        yerr=[100 * np.nan_to_num(value.half_width) for value in estimates],
        color=f"C{number}",
        marker="o",
        markersize=4,
        capsize=3,
        label=method,
      )
      of_paper = [labels for labels in known if (method, labels) in paper]
      if of_paper:
        panel.plot(
          [place[labels] + beside for labels in of_paper],
          [paper[method, labels][2] for labels in of_paper],
          color=f"C{number}",
          marker="x",
          linestyle=":",
          label=f"{method} (paper)",
        )
    panel.set_xticks(list(place.values()), [str(labels) for labels in budgets])
    panel.set_xlabel("labels per class")
    panel.set_title(f"tested on {partition}")
    panel.grid(alpha=0.3)
    panel.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  panels[0].set_ylabel("class accuracy (%)")
  figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
  figure.savefig(path, dpi=150)


def sweep_figure(
  rows: Iterable[dict],
  field: str,
  title: str,
  path: str | pathlib.Path,
  logarithmic: bool = False,
) -> None:
  """Accuracy of the three tasks against a field, a panel for each tested partition.

  Args:
    rows: of `results.jsonl`.
    field: the horizontal axis.
    title: what to call it.
    path: where to write the figure.
    logarithmic: whether the axis is.
  """
  partitions = group(rows, "partition")
  figure = Figure(figsize=(3 + 4.5 * len(partitions), 3.8), layout="constrained")
  panels = figure.subplots(1, len(partitions), sharey=True, squeeze=False)[0]
  for panel, ((partition,), of_partition) in zip(
    panels, partitions.items(), strict=True
  ):
    lines = group(of_partition, "method", "labels_per_class")
    for (method, labels), members in lines.items():
      places = sorted(group(members, field).items())
      for number, accuracy in enumerate(ACCURACIES):
        estimates = [estimate(of_place, accuracy) for _, of_place in places]
        if np.isnan([value.mean for value in estimates]).all():
          continue
        task = accuracy.removesuffix("_accuracy")
        panel.errorbar(
          [place for (place,), _ in places],
          [100 * value.mean for value in estimates],
          yerr=[100 * np.nan_to_num(value.half_width) for value in estimates],
          color=f"C{number}",
          linestyle=_LINE_STYLES[list(lines).index((method, labels)) % 4],
          marker="o",
          markersize=4,
          capsize=3,
          label=task if len(lines) == 1 else f"{task}: {method}, {labels} labels",
        )
    if logarithmic:
      panel.set_xscale("log")
    panel.set_xlabel(title)
    panel.set_title(f"tested on {partition}")
    panel.grid(alpha=0.3)
  panels[0].set_ylabel("accuracy (%)")
  figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
  figure.savefig(path, dpi=150)


def coverage_figure(
  curves: Mapping[tuple[str, str], Coverage], path: str | pathlib.Path
) -> None:
  """Accuracy against coverage, a panel for each tested partition.

  Args:
    curves: by partition and task.
    path: where to write the figure.
  """
  partitions = list(dict.fromkeys(partition for partition, _ in curves))
  figure = Figure(figsize=(2 + 4.5 * len(partitions), 3.8), layout="constrained")
  panels = figure.subplots(1, len(partitions), sharey=True, squeeze=False)[0]
  for panel, partition in zip(panels, partitions, strict=True):
    tasks = {task: curve for (part, task), curve in curves.items() if part == partition}
    for task, curve in tasks.items():
      panel.plot(100 * curve.coverages, 100 * curve.accuracies, label=task)
    panel.set_xlabel("flows that are answered, surest first (%)")
    panel.set_title(f"tested on {partition}")
    panel.grid(alpha=0.3)
  panels[0].set_ylabel("accuracy of the answers (%)")
  figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
  figure.savefig(path, dpi=150)


def answers_figure(
  by_minute: Mapping[tuple[int, str], int],
  by_tasks: Mapping[tuple[str, str], int],
  bandwidths: Sequence[str],
  durations: Sequence[str],
  path: str | pathlib.Path,
) -> None:
  """Flows by class over time, and by bandwidth and duration.

  Args:
    by_minute: flows by minute since 1970 and class.
    by_tasks: flows by bandwidth and duration class.
    bandwidths: the names of those classes, in order.
    durations: the same.
    path: where to write the figure.
  """
  figure = Figure(figsize=(12, 4.2), layout="constrained")
  over_time, crossed = figure.subplots(1, 2)
  first = min((minute for minute, _ in by_minute), default=0)
  last = max((minute for minute, _ in by_minute), default=0)
  for name in sorted({name for _, name in by_minute}):
    counts = [by_minute.get((minute, name), 0) for minute in range(first, last + 1)]
    over_time.plot(np.arange(last - first + 1), counts, label=name)
  over_time.set_xlabel("minutes since the first answer")
  over_time.set_ylabel("flows a minute")
  over_time.set_ylim(bottom=0)
  over_time.grid(alpha=0.3)
  over_time.legend(
    fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False
  )
  table = np.array([[by_tasks.get((b, d), 0) for d in durations] for b in bandwidths])
  crossed.imshow(table, cmap="Blues", aspect="auto")
  for (row, column), count in np.ndenumerate(table):
    color = "white" if count > table.max() / 2 else "black"
    crossed.text(column, row, str(count), ha="center", va="center", color=color)
  crossed.set_xticks(range(len(durations)), durations, rotation=30, ha="right")
  crossed.set_yticks(range(len(bandwidths)), bandwidths)
  crossed.set_xlabel("duration")
  crossed.set_ylabel("bandwidth")
  figure.savefig(path, dpi=150)


_LINE_STYLES = ("-", "--", "-.", ":")


def _rank(value: object, column: list) -> float:
  """Numbers by size, "all" after them, anything else in order of appearance."""
  if any(isinstance(other, int | float) for other in column):
    return _budget(value)
  return column.index(value)


def _budget(labels: int | str) -> float:
  return np.inf if isinstance(labels, str) else labels
