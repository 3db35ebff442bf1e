"""Figures of results, in a form that fits a paper."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtl_traffic import charts, confusions
from mtl_traffic.comparison import labellings
from mtl_traffic.comparison.rows import (
  ACCURACIES,
  budget_order,
  difference,
  estimate,
  few_labels,
  group,
  shown,
  value,
  where,
)
from mtl_traffic.escapes import for_figure

_FEW_SERIES = 4  # In each panel of a figure with many panels.
_LABEL_LETTERS = 52  # Letters in one line of the figure's width.
_MEASURES = dict(zip(ACCURACIES, ("class", "bandwidth", "duration"), strict=True))


def label_budget_figure(
  rows: Iterable[dict], paper: Mapping[tuple, Sequence[float]]
) -> Figure:
  """Class accuracy against labels per class, one panel per tested partition.

  If classes differ in their number of test flows, there are panels of macro F1 too. Of
  many methods, only the best are shown.

  Args:
    rows: rows of `results.jsonl`.
    paper: the paper's values by method and labels per class; the third value is the
      class accuracy.
  """
  rows = list(rows)
  of_paper = {
    labels: values[2]
    for (method, labels), values in paper.items()
    if method == charts.PAPERS and values[2] is not None
  }
  methods = methods_shown(rows, charts.MOST_SERIES - bool(of_paper))
  panels = [
    (partition, field, title)
    for (partition,), of_partition in group(rows, "partition").items()
    for field, title in _class_measures(of_partition).items()
  ]
  budgets = sorted({row["labels_per_class"] for row in rows}, key=budget_order)
  # Evenly spaced places, so that "all" has one too.
  place = {labels: x for x, labels in enumerate(budgets)}
  figure, axes = charts.stack(len(panels))
  several = len({partition for partition, *_ in panels}) > 1
  for panel, (partition, field, title) in zip(axes, panels, strict=True):
    members = where(rows, partition=partition)
    _lines(panel, {name: where(members, method=name) for name in methods}, field, place)
    if of_paper and field == "class_accuracy":
      _as_published(panel, of_paper, place)
      of_paper = {}  # Only in the first panel, of the partition that was trained on.
    charts.finish(panel)
    panel.set_ylabel(f"{title} (%)")
    if several:
      panel.set_title(f"tested on {for_figure(partition)}", fontsize=charts.POINTS)
  axes[-1].set_xticks(list(place.values()), list(map(str, budgets)))
  axes[-1].set_xlabel("labels per class")
  return figure


def datasets_figure(rows: Mapping[str, Sequence[dict]]) -> Figure:
  """Class accuracy against labels per class, one panel per dataset.

  Args:
    rows: rows by name of the dataset, tested on the partition that was trained on.
  """
  everything = [row for of_dataset in rows.values() for row in of_dataset]
  budgets = sorted({row["labels_per_class"] for row in everything}, key=budget_order)
  place = {labels: x for x, labels in enumerate(budgets)}
  figure, axes = charts.stack(len(rows))
  for panel, (name, members) in zip(axes, rows.items(), strict=True):
    methods = methods_shown(members, _FEW_SERIES)
    series = {method: where(members, method=method) for method in methods}
    _lines(panel, series, "class_accuracy", place)
    charts.finish(panel)
    panel.set_title(for_figure(name), fontsize=charts.POINTS, loc="left")
    panel.set_ylabel("class accuracy (%)")
  axes[-1].set_xticks(list(place.values()), list(map(str, budgets)))
  axes[-1].set_xlabel("labels per class")
  return figure


def labelling_figure(rows: Iterable[dict]) -> Figure:
  """Class accuracy against the number of labels, a line for each way to label.

  Args:
    rows: rows of `results.jsonl`; only those of the first partition are drawn, and of
      our method, or else of the first.
  """
  rows = list(rows)
  methods = [row["method"] for row in rows]
  method = charts.OURS if charts.OURS in methods else methods[0]
  members = where(rows, partition=rows[0]["partition"], method=method)
  budgets = sorted({row["labels_per_class"] for row in members}, key=budget_order)
  place = {labels: x for x, labels in enumerate(budgets)}
  figure, (panel,) = charts.stack(1)
  series = {
    name: of
    for how, name in labellings.NAMES.items()
    if (of := where(members, labelling=how))
  }
  _lines(panel, series, "class_accuracy", place)
  charts.finish(panel)
  panel.set_title(for_figure(method), fontsize=charts.POINTS, loc="left")
  panel.set_ylabel("class accuracy (%)")
  totals = [labellings.total(members, labels) for labels in budgets]
  panel.set_xticks(list(place.values()), list(map(str, totals)))
  panel.set_xlabel("labels in all")
  return figure


def methods_shown(rows: Iterable[dict], most: int = charts.MOST_SERIES) -> list[str]:
  """The methods that a figure shows: ours, the paper's, and the best with few labels.

  Args:
    rows: rows of `results.jsonl`.
    most: the largest number of methods.
  """
  rows = list(rows)
  first = rows[0]["partition"]
  budgets = (few_labels(rows), *{row["labels_per_class"] for row in rows})

  def rank(item: tuple[tuple, list[dict]]) -> tuple:
    (method,), members = item
    # Methods that were not run with few labels come last.
    means = [
      estimate(where(members, labels_per_class=labels), "class_accuracy").mean
      for labels in budgets
    ]
    few, *others = means
    known = few if not np.isnan(few) else np.nanmin([*others, 0.0]) - 1
    return method not in (charts.OURS, charts.PAPERS), -known

  methods = sorted(group(where(rows, partition=first), "method").items(), key=rank)
  return [method for (method,), _ in methods[:most]]


def _class_measures(rows: Sequence[dict]) -> dict[str, str]:
  """The measures of the class that are drawn, with their titles."""
  measures = {"class_accuracy": "class accuracy"}
  balanced = ((value(row, "class_balanced_accuracy"), row) for row in rows)
  if any(of and not np.isclose(of, row["class_accuracy"]) for of, row in balanced):
    measures["class_macro_f1"] = "macro F1"
  return measures


def _lines(
  panel: Axes,
  series: Mapping[str, Sequence[dict]],
  field: str,
  place: Mapping[object, float],
  by: str = "labels_per_class",
) -> None:
  """Draws a measure of each series against a field of its rows."""
  styles = _styles(series)
  for number, (name, members) in enumerate(series.items()):
    of_place = {key: of for (key,), of in group(members, by).items()}
    known = sorted(of_place, key=budget_order)
    estimates = [estimate(of_place[key], field) for key in known]
    if not known or np.isnan([one.mean for one in estimates]).all():
      continue
    # Moved sideways, so that no interval hides another.
    beside = 0.03 * (number - (len(series) - 1) / 2)
    charts.line(
      panel,
      name,
      [place[key] + beside for key in known],
      [100 * one.mean for one in estimates],
      [100 * one.half_width for one in estimates],
      styles[name],
    )


def _styles(series: Iterable[str]) -> dict[str, charts.Style]:
  """Styles of series; the first series of each method has the method's style."""
  drawn_as: dict[str, str] = {}
  for name in series:
    method = name.split(",")[0]
    drawn_as[name] = method if method not in drawn_as.values() else name
  styles = charts.styles(drawn_as.values())
  return {name: styles[method] for name, method in drawn_as.items()}


def _as_published(
  panel: Axes, accuracies: Mapping[object, float], place: Mapping[object, float]
) -> None:
  known = [labels for labels in place if labels in accuracies]
  if known:
    style = charts.styles(())[charts.PAPERS]
    charts.line(
      panel,
      f"{charts.PAPERS}, published",
      [place[labels] for labels in known],
      [accuracies[labels] for labels in known],
      [np.nan] * len(known),
      charts.Style(style.color, "x", ":", 1),
    )


def sweep_figure(
  rows: Iterable[dict], field: str, title: str, logarithmic: bool = False
) -> Figure:
  """Accuracy against a field of the rows.

  There is one panel per task for the partition that was trained on, and one panel of
  class accuracy for each other partition.

  Args:
    rows: rows of `results.jsonl`.
    field: the field on the horizontal axis.
    title: the title of this axis.
    logarithmic: whether this axis is logarithmic.
  """
  rows = list(rows)
  partitions = [partition for (partition,) in group(rows, "partition")]
  panels = [
    (partition, measure)
    for partition in partitions
    for measure in (ACCURACIES if partition == partitions[0] else ACCURACIES[:1])
    if any(row[measure] is not None for row in where(rows, partition=partition))
  ]
  panels = panels or [(partitions[0], ACCURACIES[0])]  # If every run failed.
  figure, axes = charts.stack(len(panels), height=charts.SWEEP_HEIGHT)
  values = sorted({row[field] for row in rows})
  place = {one: np.log10(one) if logarithmic else one for one in values}
  for panel, (partition, measure) in zip(axes, panels, strict=True):
    _lines(panel, _series(where(rows, partition=partition)), measure, place, field)
    charts.finish(panel)
    of = _MEASURES[measure]
    on = f" on {for_figure(partition)}" if partition != partitions[0] else ""
    panel.set_ylabel(f"{of}{on} (%)")
  axes[-1].set_xticks(list(place.values()), [f"{one:g}" for one in values])
  axes[-1].tick_params(axis="x", rotation=90 if len(values) > 8 else 0)
  axes[-1].set_xlabel(title)
  return figure


def _series(rows: Sequence[dict]) -> dict[str, list[dict]]:
  """Rows by the name of their line; methods and label budgets are never pooled."""
  lines = group(rows, "method", "labels_per_class", "shortest_prefix")
  several = len({labels for _, labels, _ in lines}) > 1
  return {
    method
    + f", {labels} labels" * several
    + ", any k" * (shortest is not None): members
    for (method, labels, shortest), members in lines.items()
  }


def difference_figure(
  rows: Iterable[dict],
  fields: Sequence[str],
  reference: Mapping[str, object],
  reference_name: str,
) -> Figure:
  """Differences in class accuracy to a reference, in percentage points.

  Args:
    rows: rows of `results.jsonl`; only those of the first partition are drawn.
    fields: the fields whose values define a line.
    reference: fields and values that select the reference, see `rows.accuracy_table`.
    reference_name: the name of the reference.
  """
  rows = list(rows)
  rows = where(rows, partition=rows[0]["partition"])
  apart = [
    name
    for name in ("method", "labels_per_class")
    if name not in fields and len(group(rows, name)) > 1
  ]
  theirs = where(rows, **reference)
  lines = [
    (values, members, difference(members, theirs, "class_accuracy", *reference))
    for values, members in group(rows, *apart, *fields).items()
    if members[0] not in theirs
  ]
  labels = [
    textwrap.wrap(
      "; ".join(
        shown(one, name)
        for name, one in zip((*apart, *fields), values, strict=True)
        # Values that equal the reference's are left out of the label.
        if name not in reference or shown(one) != shown(reference[name])
      ),
      _LABEL_LETTERS,
    )
    for values, *_ in lines
  ]
  # Names are long, so each line has its name above it.
  heights = [0.22 + 0.17 * len(label) for label in labels]
  figure = Figure(
    figsize=(charts.WIDTH, 0.7 + max(sum(heights), 1)), layout="constrained"
  )
  panel = figure.subplots()
  styles, top = charts.styles(row["method"] for row in rows), 0.05
  for label, height, (_, members, gain) in zip(labels, heights, lines, strict=True):
    style = styles[members[0]["method"]]
    y = -(top + height - 0.1)
    panel.errorbar(
      [100 * gain.mean],
      [y],
      xerr=[100 * np.nan_to_num(gain.half_width)],
      color=style.color,
      marker=style.marker,
      markersize=5,
      capsize=2.5,
      label=for_figure(" ".join(label)),
    )
    panel.annotate(
      "\n".join(map(for_figure, label)),
      xy=(0, y + 0.1),
      xycoords=panel.get_yaxis_transform(),
      fontsize=charts.POINTS,
      va="bottom",
      in_layout=False,
      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )
    top += height
  panel.axvline(0, color="black", linewidth=1)
  panel.set_ylim(-top - 0.05, 0)
  panel.set_yticks([])
  panel.spines[["top", "right", "left"]].set_visible(False)
  panel.grid(axis="x", alpha=0.3)
  panel.set_xlabel(f"class accuracy − {for_figure(reference_name)} (points)")
  return figure


def confusion_figure(rows: Iterable[dict], class_names: Sequence[str]) -> Figure:
  """The confusion matrix over the test flows of all seeds.

  Args:
    rows: rows of one method, budget and partition; seeds are summed.
    class_names: the names of the traffic classes.
  """
  counts = np.sum(
    [row["class_confusion"] for row in rows if row["class_confusion"]], axis=0
  )
  return confusions.figure(counts, class_names)
