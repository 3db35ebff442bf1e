"""Figures of an evaluation, drawn from the result of `assess`."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtl_traffic import charts, confusions
from mtl_traffic.charts import Style
from mtl_traffic.escapes import for_figure
from mtl_traffic.evaluation import Coverage, Reliability

_MOST_CLASSES = 60  # In a figure; if there are more, those with the most errors.
_LONGEST_NAME = 24
_ALL, _ANSWERED = Style("black", "o", width=2), Style("#007a53", "^", "--")


def confusion_figure(confusion: Mapping) -> Figure:
  """The confusion matrix, in % of each class.

  Args:
    confusion: `classes`, `answers` and `counts`, from `assess`.
  """
  counts = np.array(confusion["counts"])
  size = len(counts)
  right = np.diagonal(counts)
  wrong = counts.sum(axis=1) - right + counts[:, :size].sum(axis=0) - right
  kept = np.sort(np.argsort(-wrong, kind="stable")[:_MOST_CLASSES])
  names = [_shortened(confusion["classes"][i]) for i in kept]
  answers = ["unknown"]
  if len(kept) < size:
    # One more column, so that percentages still refer to all flows of a class.
    answers = ["any other", *answers]
    left = counts[:, :size].sum(axis=1) - counts[:, kept].sum(axis=1)
    counts = np.insert(counts, size, left, axis=1)
  columns = [*kept, *range(size, size + len(answers))]
  figure = confusions.figure(counts[np.ix_(kept, columns)], names, answers)
  if len(kept) < size:
    title = f"the {len(kept)} of {size} classes with the most errors"
    figure.axes[0].set_title(title, fontsize=charts.POINTS)
  return figure


def classes_figure(classes: Sequence[Mapping]) -> Figure:
  """F1 of each class with its interval, best first, and precision and recall.

  Args:
    classes: the classes, from `assess`.
  """
  shown = sorted(classes, key=lambda one: one["f1"] or 0)[:_MOST_CLASSES]
  places = np.arange(len(shown))
  figure = Figure(figsize=(charts.WIDTH, 1.4 + 0.23 * len(shown)), layout="constrained")
  panel = figure.subplots()
  f1 = _percents(one["f1"] for one in shown)
  panel.barh(places, np.nan_to_num(f1), color="0.8", label="F1")
  for value, place, one in zip(f1, places, shown, strict=True):
    if one["f1_interval"] is not None and not np.isnan(value):
      low, high = (100 * end for end in one["f1_interval"])
      panel.hlines(place, low, high, color="black", linewidth=1.2)
  for name, marker, color in (
    ("precision", "|", "#d55e00"),
    ("recall", "x", "#0072b2"),
  ):
    values = _percents(one[name] for one in shown)
    panel.plot(values, places, marker, color=color, markersize=7, label=name)
  names = [
    for_figure(f"{_shortened(one['name'])} ({one['num_flows']})") for one in shown
  ]
  panel.set_yticks(places, names, fontsize=charts.POINTS)
  panel.set_ylim(-0.6, len(shown) - 0.4)
  panel.set_xlim(0, 101)
  panel.set_xlabel("%, with the 95 % interval of F1")
  panel.spines[["top", "right"]].set_visible(False)
  panel.grid(axis="x", alpha=0.3)
  figure.legend(
    *panel.get_legend_handles_labels(),
    loc="outside upper left",
    ncols=3,
    frameon=False,
    fontsize=charts.POINTS,
  )
  if len(shown) < len(classes):
    title = f"the {len(shown)} of {len(classes)} classes with the lowest F1"
    panel.set_title(title, loc="left", fontsize=charts.POINTS)
  return figure


def reliability_figure(calibration: Sequence[Mapping]) -> Figure:
  """Accuracy against confidence.

  Args:
    calibration: bins of confidence, from `assess`.
  """
  return charts.reliability(
    Reliability(
      np.array([one["num_flows"] for one in calibration]),
      _percents(one["confidence"] for one in calibration) / 100,
      _percents(one["accuracy"] for one in calibration) / 100,
    )
  )


def coverage_figure(curves: Mapping[str, Coverage]) -> Figure:
  """Accuracy against coverage.

  Args:
    curves: a curve for each task.
  """
  return charts.coverage(curves)


def packets_figure(by_packets: Sequence[Mapping]) -> Figure:
  """Accuracy of flows, grouped by the number of packets that the model saw."""
  figure, (panel, below) = charts.with_strip()
  places = np.arange(len(by_packets))
  _accuracies(panel, places, by_packets)
  flows = np.array([one["num_flows"] for one in by_packets])
  below.bar(places, 100 * flows / max(flows.sum(), 1), color="0.6")
  below.set_ylabel("flows (%)")
  below.set_xticks(places, [range_name(one) for one in by_packets])
  below.set_xlabel("packets seen of the flow")
  return figure


def after_packets_figure(after_packets: Sequence[Mapping]) -> Figure:
  """Accuracy of all flows after each number of packets at which they were answered."""
  figure, (panel,) = charts.stack(1)
  places = np.arange(len(after_packets))
  _accuracies(panel, places, after_packets)
  panel.set_xticks(places, [str(one["packets"]) for one in after_packets])
  panel.set_xlabel("packets after which flows are answered")
  return figure


def range_name(one: Mapping) -> str:
  """A range of packets, `from` and `to`, as "5–9"."""
  first, last = one["from"], one["to"]
  return f"{first}" if first == last else f"{first}–{last}"


def _accuracies(panel: Axes, places: Sequence, measured: Sequence[Mapping]) -> None:
  for name, field, style in (
    ("all flows", "accuracy", _ALL),
    ("answered flows", "accuracy_of_answered", _ANSWERED),
  ):
    values = _percents(one[field] for one in measured)
    if style is _ANSWERED and all(
      one["accuracy"] == one["accuracy_of_answered"] for one in measured
    ):
      continue
    intervals = [one[f"{field}_interval"] or (np.nan, np.nan) for one in measured]
    lows, highs = 100 * np.array(intervals, float).T
    charts.line(panel, name, places, values, (values - lows, highs - values), style)
  charts.finish(panel)
  panel.set_ylabel("accuracy (%)")


def _percents(fractions: Iterable[float | None]) -> np.ndarray:
  return 100 * np.array([np.nan if f is None else f for f in fractions], float)


def _shortened(name: str) -> str:
  if len(name) > _LONGEST_NAME:
    name = f"{name[: _LONGEST_NAME - 1]}…"
  return name
