"""Rows of results as tables and figures that can be pasted into a paper."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from mtl_traffic.evaluation import Estimate, mean_with_interval

ACCURACIES = ("class_accuracy", "bandwidth_accuracy", "duration_accuracy")


def group(rows: Iterable[dict], *fields: str) -> dict[tuple, list[dict]]:
  """The rows by their values of some fields, in order of first appearance."""
  groups: dict[tuple, list[dict]] = {}
  for row in rows:
    groups.setdefault(tuple(row[field] for field in fields), []).append(row)
  return groups


def estimate(rows: Iterable[dict], field: str) -> Estimate:
  """Mean and interval of a field over rows, one a seed; rows without it don't count."""
  return mean_with_interval(
    np.array([row[field] for row in rows if row[field] is not None])
  )


def percent(value: Estimate) -> str:
  """An accuracy as in "93.3 ± 1.2"; "–" if there is none."""
  if np.isnan(value.mean):
    return "–"
  interval = "" if np.isnan(value.half_width) else f" ± {100 * value.half_width:.1f}"
  return f"{100 * value.mean:.1f}{interval}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
  """A Markdown table, its columns aligned so that it reads well as plain text."""
  cells = [[str(cell) for cell in row] for row in (header, *rows)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  cells.insert(1, ["-" * width for width in widths])
  return "".join(
    "| " + " | ".join(map(str.ljust, row, widths)) + " |\n" for row in cells
  )


def label_budget_table(
  rows: Iterable[dict], paper: Mapping[tuple, Sequence[float]]
) -> str:
  """Accuracy by method and label budget, one table a tested partition, as Markdown.

  Args:
    rows: of `results.jsonl`.
    paper: by (method, labels per class) the paper's bandwidth, duration and class
      accuracy in %.
  """
  text = []
  for (partition,), of_partition in group(rows, "partition").items():
    groups = group(of_partition, "method", "labels_per_class")
    table = []
    for (method, labels), members in sorted(
      groups.items(), key=lambda item: (item[0][0], _budget(item[0][1]))
    ):
      line = [method, labels, len(members)]
      line += [percent(estimate(members, field)) for field in ACCURACIES]
      if paper:
        bandwidth, duration, of_class = paper.get((method, labels), ["–"] * 3)
        line += [of_class, bandwidth, duration]
      table.append(line)
    header = ["method", "labels/class", "seeds", "class", "bandwidth", "duration"]
    if paper:
      header += ["paper: class", "bandwidth", "duration"]
    text.append(f"Tested on `{partition}`:\n\n{markdown_table(header, table)}")
  intro = "Accuracy in %, mean over seeds ± half of its 95 % t-interval.\n\n"
  return intro + "\n".join(text)


def label_budget_figure(
  rows: Iterable[dict],
  paper: Mapping[tuple, Sequence[float]],
  path: str | pathlib.Path,
) -> None:
  """Class accuracy against labels per class, a panel for each tested partition."""
  partitions = group(rows, "partition")
  figure = Figure(figsize=(1 + 4.5 * len(partitions), 3.8), layout="constrained")
  panels = figure.subplots(1, len(partitions), sharey=True, squeeze=False)[0]
  for panel, ((partition,), of_partition) in zip(
    panels, partitions.items(), strict=True
  ):
    budgets = sorted({row["labels_per_class"] for row in of_partition}, key=_budget)
    # Evenly spaced places, so that "all" has one too.
    place = {labels: x for x, labels in enumerate(budgets)}
    for number, ((method,), members) in enumerate(
      group(of_partition, "method").items()
    ):
      of_budget = group(members, "labels_per_class")
      known = [labels for labels in budgets if (labels,) in of_budget]
      estimates = [estimate(of_budget[labels,], "class_accuracy") for labels in known]
      panel.errorbar(
        [place[labels] for labels in known],
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
          [place[labels] for labels in of_paper],
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
  panels[0].legend()
  figure.savefig(path, dpi=150)


def _budget(labels: int | str) -> float:
  return np.inf if isinstance(labels, str) else labels
