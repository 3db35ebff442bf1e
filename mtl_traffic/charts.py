"""The style that all line charts share: colours, labels at the lines' ends, axes.

A chart is `WIDTH` inches wide with text of `POINTS` points, so it is legible in a
column of a paper, at half its size, and on a telephone. Series differ in colour, marker
and stroke, so they can be told apart in greyscale. Each is labelled at its line's end.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike
from scipy import optimize

from mtl_traffic.escapes import for_figure
from mtl_traffic.evaluation import Coverage, Reliability

WIDTH, PANEL_HEIGHT, SWEEP_HEIGHT = 5.2, 2.9, 1.9  # Inches.
POINTS = 10
MOST_SERIES = 6
OURS, PAPERS = "whole_flow_distillation", "multitask"

_LINE_HEIGHT = 1.15 * POINTS / 72  # Inches.


@dataclasses.dataclass(frozen=True)
class Style:
  """The style of one series."""

  color: str
  marker: str
  stroke: str = "-"
  width: float = 1.4


# Vermilion and blue, which the colour-blind can tell apart (M. Okabe and K. Ito, "Color
# Universal Design", 2008). All colours are dark enough for text.
_OWN = {OURS: Style("#d55e00", "o", width=2.4), PAPERS: Style("#0072b2", "s", width=2)}
_OTHERS = (
  Style("#007a53", "^", "--"),
  Style("#9a3f86", "D", "-."),
  Style("#7f6a00", "v", (0, (5, 1, 1, 1, 1, 1))),
  Style("#666666", "X", (0, (1, 1))),
  Style("#000000", "P", (0, (7, 2))),
  Style("#8c4a2f", "*", (0, (3, 3))),
)


def styles(names: Iterable[str]) -> dict[str, Style]:
  """The style of each series; our method and the paper's look the same everywhere.

  Args:
    names: names of the series. Beyond `MOST_SERIES`, styles repeat.
  """
  others = [name for name in dict.fromkeys(names) if name not in _OWN]
  return _OWN | {
    name: _OTHERS[number % len(_OTHERS)] for number, name in enumerate(others)
  }


def stack(num_panels: int, height: float = PANEL_HEIGHT) -> tuple[Figure, list[Axes]]:
  """A figure of panels, one below the other, that share the horizontal axis."""
  figure = Figure(figsize=(WIDTH, 0.4 + height * num_panels), layout="constrained")
  panels = list(figure.subplots(num_panels, sharex=True, squeeze=False)[:, 0])
  for panel in panels:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)
  return figure, panels


def line(
  panel: Axes,
  name: str,
  places: Sequence[float],
  values: Sequence[float],
  intervals: ArrayLike,
  style: Style,
) -> None:
  """Draws a series with error bars; `finish` adds its label.

  Args:
    panel: the panel to draw in.
    name: the name of the series.
    places: `[N]` horizontal positions.
    values: `[N]` vertical positions.
    intervals: lengths of the error bars, `[N]` in both directions, or `[2, N]` down and
      up; NaN = none.
    style: the style of the series.
  """
  panel.errorbar(
    places,
    values,
    # With few flows, an interval may exclude its value. Error bars are never negative.
    yerr=np.maximum(np.nan_to_num(np.asarray(intervals, float)), 0),
    label=for_figure(name),
    color=style.color,
    marker=style.marker,
    linestyle=style.stroke,
    linewidth=style.width,
    markersize=5,
    capsize=2.5,
    elinewidth=1,
  )


def finish(panel: Axes) -> None:
  """Fits the vertical axis to the data and labels each line at its end."""
  drawn = [container.lines[0] for container in panel.containers]
  ends = [bar for one in panel.containers for bar in _interval_ends(one)]
  values = np.concatenate([ends, *(one.get_ydata() for one in drawn)])
  panel.set_ylim(*limits(values))
  panel.yaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))
  names = [container.get_label() for container in panel.containers]
  label_ends(panel, names, drawn)


def _interval_ends(container) -> Iterable[float]:
  for bars in container.lines[2]:
    for segment in bars.get_segments():
      yield from np.reshape(segment, (-1, 2))[:, 1]  # Empty where a value is NaN.


def limits(values: Iterable[float]) -> tuple[float, float]:
  """Limits of an axis in %, just wide enough for the values; NaN is ignored."""
  known = np.asarray(list(values), float)
  known = np.clip(known[~np.isnan(known)], 0, 100)
  if not len(known):
    return 0.0, 100.0
  low, high = known.min(), known.max()
  margin = max(0.06 * (high - low), 0.5)
  return float(max(low - margin, 0)), float(min(high + margin, 100 + margin / 2))


def label_ends(panel: Axes, names: Sequence[str], drawn: Sequence) -> list[Text]:
  """Writes the name of each line at its end; names that would overlap are moved."""
  known = []
  for name, one in zip(names, drawn, strict=True):
    x, y = np.asarray(one.get_xdata(), float), np.asarray(one.get_ydata(), float)
    there = np.flatnonzero(~np.isnan(y))
    if len(there):
      known.append((name, one, x[there[-1]], y[there[-1]]))
  low, high = panel.get_ylim()
  # An estimate, because the figure's layout is not computed yet.
  height = panel.get_position().height * panel.figure.get_figheight()
  gap = (high - low) * _LINE_HEIGHT / height
  heights = spread([y for *_, y in known], gap, low, high)
  return [
    panel.annotate(
      name,
      xy=(x, y),
      xytext=(1.04, height),
      textcoords=panel.get_yaxis_transform(),
      color=one.get_color(),
      fontsize=POINTS,
      fontweight="bold" if one.get_linewidth() >= 2 else "normal",
      va="center",
      arrowprops={
        "arrowstyle": "-",
        "relpos": (0, 0.5),  # From the middle of the name's left side.
        "color": one.get_color(),
        "linewidth": 0.6,
        "linestyle": ":",
        "shrinkA": 0,
        "shrinkB": 3,
      },
      annotation_clip=False,
    )
    for (name, one, x, y), height in zip(known, heights, strict=True)
  ]


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
  """Moves values as little as possible so that neighbours are at least a gap apart.

  Args:
    values: the values, in any order; the result has the same order.
    gap: the least distance.
    low: lower limit of the result.
    high: upper limit of the result, if there is room for all above `low`.
  """
  if not len(values):
    return []
  order = np.argsort(values, kind="stable")
  steps = gap * np.arange(len(values))
  moved = optimize.isotonic_regression(np.asarray(values, float)[order] - steps).x
  moved = np.minimum(moved, high - steps[-1])
  moved = np.maximum(moved, low) + steps
  placed = np.empty(len(values))
  placed[order] = moved
  return placed.tolist()


def reliability(measured: Reliability) -> Figure:
  """Accuracy against confidence, above a histogram of confidences."""
  figure, (panel, below) = with_strip()
  edges = np.linspace(0, 100, len(measured.counts) + 1)
  panel.plot([0, 100], [0, 100], ":", color="0.4", label="perfectly calibrated")
  there = measured.counts > 0
  panel.plot(
    100 * measured.confidences[there],
    100 * measured.accuracies[there],
    "o-",
    color="black",
    markersize=5,
    label="the model",
  )
  panel.set_ylabel("accuracy (%)")
  panel.set_xlim(0, 100)
  panel.set_ylim(-2, 102)
  panel.legend(loc="upper left", frameon=False, fontsize=POINTS)
  share = 100 * measured.counts / max(measured.counts.sum(), 1)
  below.stairs(share, edges, fill=True, color="0.6")
  below.set_ylabel("flows (%)")
  below.set_xlabel("probability of the answer (%)")
  return figure


def coverage(curves: Mapping[str, Coverage]) -> Figure:
  """Accuracy of the answers against coverage, for all thresholds on the certainty."""
  figure, (panel,) = stack(1, height=3.3)
  draw_coverage(panel, curves)
  return figure


def draw_coverage(panel: Axes, curves: Mapping[str, Coverage]) -> None:
  """Draws the curve of each task."""
  drawn, of = [], styles(curves) | {"class": Style("#000000", "o")}
  for name, curve in curves.items():
    drawn += panel.plot(
      100 * curve.coverages,
      100 * curve.accuracies,
      color=of[name].color,
      linestyle=of[name].stroke,
      linewidth=1.8,
    )
  # The accuracy of the first few answers is noise, which must not set the axis.
  settled = [one.get_ydata()[len(one.get_ydata()) // 20 :] for one in drawn]
  panel.set_ylim(*limits(np.concatenate([[100.0], *settled])))
  panel.set_xlim(0, 100)
  panel.set_xlabel("flows that are answered, most certain first (%)")
  panel.set_ylabel("accuracy of the answers (%)")
  label_ends(panel, list(map(for_figure, curves)), drawn)


def with_strip() -> tuple[Figure, tuple[Axes, Axes]]:
  """A figure of a panel with a flat one below it; they share the horizontal axis."""
  figure = Figure(figsize=(WIDTH - 0.8, 3.7), layout="constrained")
  panels = figure.subplots(2, sharex=True, height_ratios=(3, 1))
  for panel in panels:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.3)
  return figure, tuple(panels)
