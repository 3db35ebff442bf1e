"""Rows of results as figures that can be pasted into a paper."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtl_traffic import files
from mtl_traffic.comparison.rows import (
  ACCURACIES,
  FAIR,
  budget_order,
  estimate,
  group,
  value,
)
from mtl_traffic.escapes import for_figure


def label_budget_figure(
  rows: Iterable[dict],
  paper: Mapping[tuple, Sequence[float]],
  path: str | pathlib.Path,
) -> None:
  """Measures of the class against labels per class, a column for each partition.

  Args:
    rows: of `results.jsonl`.
    paper: class accuracies, the third of the values, by method and labels per class.
    path: where to write the figure.
  """
  rows = list(rows)
  partitions, measures = group(rows, "partition"), _class_measures(rows)
  figure = Figure(
    figsize=(3 + 4.5 * len(partitions), 0.8 + 3 * len(measures)), layout="constrained"
  )
  panels = figure.subplots(
    len(measures), len(partitions), sharex="col", sharey="row", squeeze=False
  )
  for line, (field, title) in zip(panels, measures.items(), strict=True):
    # The paper's stand beside the partition that was trained on, the first.
    of_paper = paper if field == "class_accuracy" else {}
    for panel, of_partition in zip(line, partitions.values(), strict=True):
      _against_budgets(panel, of_partition, field, of_paper)
      of_paper = {}
    line[0].set_ylim(top=min(line[0].get_ylim()[1], 100.5))
    line[0].set_ylabel(f"{title} (%)")
  for panel, (partition,) in zip(panels[0], partitions, strict=True):
    panel.set_title(f"tested on {for_figure(partition)}")
  for panel in panels[-1]:
    panel.set_xlabel("labels per class")
  handles, labels = panels[0, 0].get_legend_handles_labels()
  figure.legend(handles, labels, loc="outside right center")
  files.write_figure(path, figure)


def _class_measures(rows: Sequence[dict]) -> dict[str, str]:
  """What is drawn of the class, and its title.

  Balanced accuracy is left out where it is the accuracy, as of a test set with equally
  many flows of each class.
  """
  known = {field: [value(row, field) for row in rows] for field in FAIR}
  measures = {"class_accuracy": "class accuracy"}
  balanced = zip(known["class_balanced_accuracy"], rows, strict=True)
  if any(of and not np.isclose(of, row["class_accuracy"]) for of, row in balanced):
    measures["class_balanced_accuracy"] = "balanced accuracy"
  if any(of is not None for of in known["class_macro_f1"]):
    measures["class_macro_f1"] = "macro F1"
  return measures


def _against_budgets(
  panel: Axes, rows: Sequence[dict], field: str, paper: Mapping
) -> None:
  """Draws a measure of each method against labels per class."""
  budgets = sorted({row["labels_per_class"] for row in rows}, key=budget_order)
  # Evenly spaced places, so that "all" has one too.
  place = {labels: x for x, labels in enumerate(budgets)}
  methods = group(rows, "method")
  for number, ((method,), members) in enumerate(methods.items()):
    of_budget = group(members, "labels_per_class")
    known = [labels for labels in budgets if (labels,) in of_budget]
    estimates = [estimate(of_budget[labels,], field) for labels in known]
    # Side by side, so that no interval hides another.
    beside = 0.03 * (number - (len(methods) - 1) / 2)
    panel.errorbar(
      [place[labels] + beside for labels in known],
      [100 * one.mean for one in estimates],
      yerr=[100 * np.nan_to_num(one.half_width) for one in estimates],
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
  panel.grid(alpha=0.3)
  panel.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))


def sweep_figure(
  rows: Iterable[dict],
  field: str,
  title: str,
  path: str | pathlib.Path,
  logarithmic: bool = False,
) -> None:
  """Accuracy of the three tasks and macro F1 of the class against a field.

  A panel for each tested partition.

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
      for number, measure in enumerate((*ACCURACIES, "class_macro_f1")):
        estimates = [estimate(of_place, measure) for _, of_place in places]
        if np.isnan([one.mean for one in estimates]).all():
          continue
        is_f1 = measure == "class_macro_f1"
        task = "class, macro F1" if is_f1 else measure.removesuffix("_accuracy")
        panel.errorbar(
          [place for (place,), _ in places],
          [100 * one.mean for one in estimates],
          yerr=[100 * np.nan_to_num(one.half_width) for one in estimates],
          color=f"C{number}",
          linestyle=_LINE_STYLES[line % len(_LINE_STYLES)],
          marker="s" if is_f1 else "o",
          markerfacecolor="none" if is_f1 else None,
          linewidth=1 if is_f1 else None,
          alpha=0.7 if is_f1 else 1,
          markersize=4,
          capsize=3,
          label=for_figure(task + name * (len(lines) > 1)),
        )
    if logarithmic:
      panel.set_xscale("log")
    panel.set_xlabel(title)
    panel.set_title(f"tested on {for_figure(partition)}")
    panel.grid(alpha=0.3)
  panels[0].set_ylabel("accuracy, macro F1 (%)")
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
