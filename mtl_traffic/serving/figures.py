"""Figures of a trained model: how good it is, and what it answered."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtl_traffic import charts, files
from mtl_traffic.escapes import for_figure
from mtl_traffic.evaluation import Coverage


def coverage_figure(
  curves: Mapping[tuple[str, str], Coverage], path: str | pathlib.Path
) -> None:
  """Accuracy against coverage, a panel for each tested partition.

  Args:
    curves: by partition and task.
    path: where to write the figure.
  """
  partitions = list(dict.fromkeys(partition for partition, _ in curves))
  figure, panels = charts.stack(len(partitions))
  for panel, partition in zip(panels, partitions, strict=True):
    tasks = {task: curve for (part, task), curve in curves.items() if part == partition}
    charts.draw_coverage(panel, tasks)
    panel.set_title(f"tested on {for_figure(partition)}", fontsize=charts.POINTS)
  files.write_figure(path, figure)


def answers_figure(
  by_minute: Mapping[tuple[int, str], int],
  by_tasks: Mapping[tuple[str, str], int],
  bandwidths: Sequence[str],
  durations: Sequence[str],
  path: str | pathlib.Path,
) -> None:
  """Flows by class over time, and by bandwidth and duration if both are answered.

  Args:
    by_minute: flows by minute since 1970 and class.
    by_tasks: flows by bandwidth and duration class.
    bandwidths: the names of those classes, in order.
    durations: the same.
    path: where to write the figure.
  """
  figure = Figure(figsize=(12, 4.2), layout="constrained")
  over_time, *others = figure.subplots(1, 1 + bool(by_tasks), squeeze=False)[0]
  first = min((minute for minute, _ in by_minute), default=0)
  last = max((minute for minute, _ in by_minute), default=0)
  for name in sorted({name for _, name in by_minute}):
    counts = [by_minute.get((minute, name), 0) for minute in range(first, last + 1)]
    over_time.plot(np.arange(last - first + 1), counts, label=for_figure(name))
  over_time.set_xlabel("minutes since the first answer")
  over_time.set_ylabel("flows a minute")
  over_time.set_ylim(bottom=0)
  over_time.grid(alpha=0.3)
  over_time.legend(
    fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False
  )
  for crossed in others:
    _cross(crossed, by_tasks, bandwidths, durations)
  files.write_figure(path, figure)


def _cross(
  crossed: Axes,
  by_tasks: Mapping[tuple[str, str], int],
  bandwidths: Sequence[str],
  durations: Sequence[str],
) -> None:
  """Draws how many flows are of which bandwidth and duration."""
  table = np.array([[by_tasks.get((b, d), 0) for d in durations] for b in bandwidths])
  crossed.imshow(table, cmap="Blues", aspect="auto")
  for (row, column), count in np.ndenumerate(table):
    color = "white" if count > table.max() / 2 else "black"
    crossed.text(column, row, str(count), ha="center", va="center", color=color)
  names = [for_figure(name) for name in durations]
  crossed.set_xticks(range(len(durations)), names, rotation=30, ha="right")
  crossed.set_yticks(range(len(bandwidths)), list(map(for_figure, bandwidths)))
  crossed.set_xlabel("duration")
  crossed.set_ylabel("bandwidth")
