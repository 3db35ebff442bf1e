"""Figures of how right a model was, of what `assess` gives."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtl_traffic import files
from mtl_traffic.escapes import for_figure
from mtl_traffic.evaluation import Coverage

_MOST_CLASSES = 60  # In a figure; those with most wrong flows if there are more.
_MOST_WITH_NUMBERS = 45
_LONGEST_NAME = 28


def confusion_figure(confusion: Mapping, path: str | pathlib.Path) -> None:
  """How often a class was taken for which, in % of its flows.

  Args:
    confusion: `classes`, `answers` and `counts`, as `assess` gives them.
    path: where to write the figure.
  """
  counts = np.array(confusion["counts"])
  size = len(counts)
  totals = counts.sum(axis=1)
  wrong = totals - np.diagonal(counts) + counts[:, :size].sum(axis=0)
  kept = np.sort(np.argsort(-wrong, kind="stable")[:_MOST_CLASSES])
  share = 100 * counts / np.maximum(totals, 1)[:, None]
  share = share[np.ix_(kept, [*kept, size])]
  names = [_shortened(confusion["classes"][i]) for i in kept]
  side = 2.5 + 0.27 * max(len(kept), 8)
  figure = Figure(figsize=(side, side), layout="constrained")
  panel = figure.subplots()
  panel.imshow(share, cmap="Blues", vmin=0, vmax=100)
  if len(kept) <= _MOST_WITH_NUMBERS:
    for true, taken in np.argwhere(share >= 0.5):
      value = share[true, taken]
      color = "white" if value > 50 else "black"
      panel.text(
        taken, true, f"{value:.0f}", ha="center", va="center", fontsize=7, color=color
      )
  panel.axvline(len(kept) - 0.5, color="black", linewidth=1)
  panel.set_xticks(range(len(kept) + 1), [*names, "unknown"], rotation=90, fontsize=7)
  rows = [f"{name} ({totals[i]})" for name, i in zip(names, kept, strict=True)]
  panel.set_yticks(range(len(kept)), rows, fontsize=7)
  # Faint lines lead the eye from a name to its cell.
  panel.set_xticks(np.arange(len(kept)) + 0.5, minor=True)
  panel.set_yticks(np.arange(len(kept) - 1) + 0.5, minor=True)
  panel.grid(which="minor", color="0.92", linewidth=0.5)
  panel.tick_params(which="minor", length=0)
  figure.supxlabel("taken for (% of the row)", fontsize=9)
  figure.supylabel("class (flows)", fontsize=9)
  if len(kept) < size:
    panel.set_title(f"the {len(kept)} classes of {size} with most wrong flows")
  files.write_figure(path, figure)


def classes_figure(classes: Sequence[Mapping], path: str | pathlib.Path) -> None:
  """F1 of each class with its interval, best first, and precision and recall.

  Args:
    classes: as `assess` gives them.
    path: where to write the figure.
  """
  shown = sorted(classes, key=lambda one: one["f1"] or 0)[:_MOST_CLASSES]
  places = np.arange(len(shown))
  f1 = _percents(one["f1"] for one in shown)
  figure = Figure(figsize=(7, 1.4 + 0.22 * len(shown)), layout="constrained")
  panel = figure.subplots()
  panel.barh(places, np.nan_to_num(f1), color="C0", alpha=0.4, label="F1")
  _bars(panel, f1, places, [one["f1_interval"] for one in shown], sideways=True)
  for name, marker, color in (("precision", "|", "C3"), ("recall", "x", "C2")):
    values = _percents(one[name] for one in shown)
    panel.plot(values, places, marker, color=color, markersize=7, label=name)
  names = [f"{_shortened(one['name'])} ({one['num_flows']})" for one in shown]
  panel.set_yticks(places, names, fontsize=7)
  panel.set_ylim(-0.6, len(shown) - 0.4)
  panel.set_xlim(0, 101)
  panel.set_xlabel("%, with the 95 % interval of F1")
  panel.grid(axis="x", alpha=0.3)
  panel.legend(
    loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize="small"
  )
  if len(shown) < len(classes):
    panel.set_title(f"the {len(shown)} worst of {len(classes)} classes", loc="right")
  files.write_figure(path, figure)


def calibration_figure(
  calibration: Sequence[Mapping],
  curves: Mapping[str, Coverage],
  path: str | pathlib.Path,
) -> None:
  """Accuracy against confidence, and against coverage.

  Args:
    calibration: bins of confidence, as `assess` gives them.
    curves: by task, what becomes of accuracy as less confident answers are given.
    path: where to write the figure.
  """
  figure = Figure(figsize=(10, 4), layout="constrained")
  reliability, coverage = figure.subplots(1, 2)
  flows = np.array([one["num_flows"] for one in calibration])
  share = flows / max(flows.sum(), 1)
  lows = np.array([100 * one["from"] for one in calibration])
  width = 100 / len(calibration)
  reliability.bar(
    lows, 100 * share, width, align="edge", color="0.85", label="flows (%)"
  )
  reliability.plot([0, 100], [0, 100], ":", color="0.4", label="as sure as right")
  there = flows > 0
  reliability.plot(
    _percents(one["confidence"] for one in calibration)[there],
    _percents(one["accuracy"] for one in calibration)[there],
    "o-",
    markersize=4,
    label="accuracy (%)",
  )
  reliability.set_xlabel("probability of the class that was answered (%)")
  reliability.set_xlim(0, 100)
  reliability.set_ylim(0, 101)
  reliability.legend(fontsize="small", loc="upper left")
  for task, curve in curves.items():
    coverage.plot(100 * curve.coverages, 100 * curve.accuracies, label=for_figure(task))
  coverage.set_xlabel("flows that are answered, surest first (%)")
  coverage.set_ylabel("accuracy of the answers (%)")
  coverage.set_xlim(0, 100)
  coverage.set_ylim(top=101)
  coverage.legend(fontsize="small")
  for panel in (reliability, coverage):
    panel.grid(alpha=0.3)
  files.write_figure(path, figure)


def packets_figure(
  by_packets: Sequence[Mapping],
  after_packets: Sequence[Mapping],
  path: str | pathlib.Path,
) -> None:
  """Accuracy by packets seen of a flow; and at each number where a model was asked.

  Args:
    by_packets: of flows apart, by how many packets of them were seen.
    after_packets: of all flows, at each of the points.
    path: where to write the figure.
  """
  several = len(after_packets) > 1
  figure = Figure(figsize=(10 if several else 6, 3.8), layout="constrained")
  panels = figure.subplots(1, 1 + several, squeeze=False, sharey=True)[0]
  total = max(sum(one["num_flows"] for one in by_packets), 1)
  names = [range_name(one) for one in by_packets]
  shares = [100 * one["num_flows"] / total for one in by_packets]
  places = np.arange(len(names))
  panels[0].bar(places, shares, color="0.85", label="flows (%)")
  _accuracies(panels[0], places, by_packets)
  panels[0].set_xticks(places, names)
  panels[0].set_xlabel("packets seen of the flow")
  if several:
    _accuracies(panels[1], [one["packets"] for one in after_packets], after_packets)
    panels[1].xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    panels[1].set_xlabel("packets after which all flows were asked about")
  for panel in panels:
    panel.set_ylim(0, 101)
    panel.grid(axis="y", alpha=0.3)
  panels[0].set_ylabel("%")
  figure.legend(
    *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3
  )
  files.write_figure(path, figure)


def range_name(one: Mapping) -> str:
  """A range of packets, `from` and `to`, as "5–9"."""
  first, last = one["from"], one["to"]
  return f"{first}" if first == last else f"{first}–{last}"


def _accuracies(panel: Axes, places: Sequence, measured: Sequence[Mapping]) -> None:
  values = _percents(one["accuracy"] for one in measured)
  panel.plot(places, values, "o-", color="C0", markersize=4, label="accuracy (%)")
  _bars(panel, values, places, [one["accuracy_interval"] for one in measured])
  of_answered = _percents(one["accuracy_of_answered"] for one in measured)
  panel.plot(
    places, of_answered, "x--", color="C1", markersize=5, label="of those answered (%)"
  )


def _bars(
  panel: Axes, values: np.ndarray, places: Sequence, intervals: Sequence, sideways=False
) -> None:
  """Draws intervals, where there are some; values need not lie within."""
  for value, place, interval in zip(values, places, intervals, strict=True):
    if interval is None or np.isnan(value):
      continue
    low, high = (100 * end for end in interval)
    draw = panel.hlines if sideways else panel.vlines
    draw(place, low, high, color="C0", linewidth=1.5)


def _percents(fractions) -> np.ndarray:
  return 100 * np.array([np.nan if f is None else f for f in fractions], float)


def _shortened(name: str) -> str:
  if len(name) > _LONGEST_NAME:
    name = f"{name[: _LONGEST_NAME - 1]}…"
  return for_figure(name)
