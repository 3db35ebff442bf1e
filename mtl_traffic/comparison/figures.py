"""Rows of results as figures that can be pasted into a paper."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from mtl_traffic import files
from mtl_traffic.comparison.rows import ACCURACIES, budget_order, estimate, group
from mtl_traffic.escapes import for_figure


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
        label=for_figure(method),
      )
      of_paper = [labels for labels in known if (method, labels) in paper]
      if of_paper:
        panel.plot(
          [place[labels] + beside for labels in of_paper],
          [paper[method, labels][2] for labels in of_paper],
          color=f"C{number}",
          marker="x",
          linestyle=":",
          label=for_figure(f"{method} (paper)"),
        )
    panel.set_xticks(list(place.values()), [str(labels) for labels in budgets])
    panel.set_xlabel("labels per class")
    panel.set_title(f"tested on {for_figure(partition)}")
    panel.grid(alpha=0.3)
    panel.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  panels[0].set_ylim(top=min(panels[0].get_ylim()[1], 100.5))
  panels[0].set_ylabel("class accuracy (%)")
  figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
  files.write_figure(path, figure)


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
    lines = group(of_partition, "method", "labels_per_class", "shortest_prefix")
    for line, (values, members) in enumerate(lines.items()):
      method, labels, shortest = values
      name = f": {method}, {labels} labels" + ", any k" * (shortest is not None)
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
          linestyle=_LINE_STYLES[line % len(_LINE_STYLES)],
          marker="o",
          markersize=4,
          capsize=3,
          label=for_figure(task + name * (len(lines) > 1)),
        )
    if logarithmic:
      panel.set_xscale("log")
    panel.set_xlabel(title)
    panel.set_title(f"tested on {for_figure(partition)}")
    panel.grid(alpha=0.3)
  panels[0].set_ylabel("accuracy (%)")
  figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
  files.write_figure(path, figure)


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
  of_budget = group((r for r in rows if not r.get("error")), "labels_per_class")
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
      names = class_names if task == "class" else range(1, size + 1)
      names = [for_figure(name) for name in names]
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
  files.write_figure(path, figure)
