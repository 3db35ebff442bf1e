"""What figures of lines have in common: colours, ends of lines, axes.

A figure of lines is `WIDTH` wide and its text `POINTS` high, so that it can be read in
a column of a paper, at half its size, and on a telephone. Series differ in colour,
marker and stroke, so that grey suffices, and each has its name at its line's end.
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
  """What tells a series apart."""

  color: str
  marker: str
  stroke: str = "-"
  width: float = 1.4


# M. Okabe and K. Ito, "Color Universal Design", 2008: vermilion and blue, which the
# colour-blind tell apart. All colours are dark enough for names to be read.
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
  """How each series is drawn: our method and the paper's the same everywhere.

  Args:
    names: of the series, up to `MOST_SERIES`; further ones begin anew.
  """
  others = [name for name in dict.fromkeys(names) if name not in _OWN]
  return _OWN | {
    name: _OTHERS[number % len(_OTHERS)] for number, name in enumerate(others)
  }


def stack(num_panels: int, height: float = PANEL_HEIGHT) -> tuple[Figure, list[Axes]]:
  """A figure of panels, one below the other on a common axis."""
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
  """Draws a series with its intervals; its name comes with `finish`.

  Args:
    panel: where to.
    name: of the series.
    places: `[N]`.
    values: `[N]`.
    intervals: how far they reach from the values, `[N]` both ways, or `[2, N]` down and
      up; NaN where there is none.
    style: of the series.
  """
  panel.errorbar(
    places,
    values,
    # Of few flows, an interval may lie beside its value.
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
  """Has the panel's axis where its data is, and writes names at the lines' ends."""
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
  """An axis in % that holds the values, NaN aside, and little more."""
  known = np.asarray(list(values), float)
  known = np.clip(known[~np.isnan(known)], 0, 100)
  if not len(known):
    return 0.0, 100.0
  low, high = known.min(), known.max()
  margin = max(0.06 * (high - low), 0.5)
  return float(max(low - margin, 0)), float(min(high + margin, 100 + margin / 2))


def label_ends(panel: Axes, names: Sequence[str], drawn: Sequence) -> list[Text]:
  """Writes the name of each line at its end, moved apart where they would overlap."""
  known = []
  for name, one in zip(names, drawn, strict=True):
    x, y = np.asarray(one.get_xdata(), float), np.asarray(one.get_ydata(), float)
    there = np.flatnonzero(~np.isnan(y))
    if len(there):
      known.append((name, one, x[there[-1]], y[there[-1]]))
  low, high = panel.get_ylim()
  # Where the figure is still to be laid out, it has about so much of its height.
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
  """Values moved as little as can be until neighbours are a gap apart.

  Args:
    values: in any order, which is kept.
    gap: the least distance.
    low: what they are not moved below.
    high: what they are not moved above, where there is room for all.
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
  """Accuracy against confidence, and how many flows have which."""
  figure, (panel, below) = with_strip()
  edges = np.linspace(0, 100, len(measured.counts) + 1)
  panel.plot([0, 100], [0, 100], ":", color="0.4", label="as right as sure")
  there = measured.counts > 0
  panel.plot(
    100 * measured.confidences[there],
    100 * measured.accuracies[there],
    "o-",
    color="black",
    markersize=5,
    label="the model",
  )
  panel.set_ylabel("right (%)")
  panel.set_xlim(0, 100)
  panel.set_ylim(-2, 102)
  panel.legend(loc="upper left", frameon=False, fontsize=POINTS)
  share = 100 * measured.counts / max(measured.counts.sum(), 1)
  below.stairs(share, edges, fill=True, color="0.6")
  below.set_ylabel("flows (%)")
  below.set_xlabel("probability of the answer (%)")
  return figure


def coverage(curves: Mapping[str, Coverage]) -> Figure:
  """Accuracy of the answers against how many flows have one, surest first."""
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
  # The first few answers are right or not by chance, and say little of the axis.
  settled = [one.get_ydata()[len(one.get_ydata()) // 20 :] for one in drawn]
  panel.set_ylim(*limits(np.concatenate([[100.0], *settled])))
  panel.set_xlim(0, 100)
  panel.set_xlabel("flows that are answered, surest first (%)")
  panel.set_ylabel("accuracy of the answers (%)")
  label_ends(panel, list(map(for_figure, curves)), drawn)


def with_strip() -> tuple[Figure, tuple[Axes, Axes]]:
  """A figure of a panel, and a lower one below on a common axis."""
  figure = Figure(figsize=(WIDTH - 0.8, 3.7), layout="constrained")
  panels = figure.subplots(2, sharex=True, height_ratios=(3, 1))
  for panel in panels:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.3)
  return figure, tuple(panels)
