"""Rows of results as figures that can be pasted into a paper."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from mtl_traffic.calibration import Coverage
from mtl_traffic.reporting import ACCURACIES, budget_order, estimate, group


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
    budgets = sorted(
      {row["labels_per_class"] for row in of_partition}, key=budget_order
    )
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
  panels[0].set_ylim(top=min(panels[0].get_ylim()[1], 100.5))
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


_LINE_STYLES = ("-", "--", "-.", ":")


def confusion_figure(
  rows: Iterable[dict], class_names: Sequence[str], path: str | pathlib.Path
) -> None:
  """How often a class was taken for which, a line for each task, a column a budget.

  Args:
    rows: of one method and partition; seeds are summed.
    class_names: of the traffic class; other tasks' are numbered from the lowest.
    path: where to write the figure.
  """
  of_budget = group(rows, "labels_per_class")
  budgets = sorted(of_budget, key=lambda key: budget_order(*key))
  tasks = [
    task
    for task in ("class", "bandwidth", "duration")
    if any(
      row[f"{task}_confusion"] for members in of_budget.values() for row in members
    )
  ]
  figure = Figure(
    figsize=(1.6 + 2.3 * len(budgets), 0.9 + 2.3 * len(tasks)), layout="constrained"
  )
  panels = figure.subplots(len(tasks), len(budgets), squeeze=False)
  for line, task in enumerate(tasks):
    for column, budget in enumerate(budgets):
      panel = panels[line, column]
      counts = np.sum([row[f"{task}_confusion"] for row in of_budget[budget]], axis=0)
      size = len(counts)
      names = class_names if task == "class" else [str(n + 1) for n in range(size)]
      share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
      panel.imshow(share, cmap="Blues", vmin=0, vmax=100)
      for true, taken in np.ndindex(share.shape):
        panel.text(
          taken,
          true,
          f"{share[true, taken]:.0f}",
          ha="center",
          va="center",
          fontsize=7,
          color="white" if share[true, taken] > 50 else "black",
        )
      panel.set_xticks(range(size), names, rotation=90, fontsize=7)
      panel.set_yticks(range(size), [] if column else names, fontsize=7)
      if not line:
        panel.set_title(f"{budget[0]} labels per class", fontsize=8)
      if not column:
        panel.set_ylabel(task)
  figure.supxlabel("taken for (% of the row)", fontsize=8)
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
