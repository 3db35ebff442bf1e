"""Describes a dataset: packets, duration and bandwidth of its flows by class.

The tables show averages and the dividers that follow from them (section IV-C), beside
the paper's values. The histograms correspond to the paper's Figures 2 and 3. Writes
`table.md`, `statistics.json`, `classes.csv`, `histograms.csv`, `bandwidth.png` and
`duration.png` to the work directory. Here 1 kB is 1000 bytes.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from mtl_traffic import charts, files, targets
from mtl_traffic.comparison.workdir import WorkDir
from mtl_traffic.errors import InputError
from mtl_traffic.escapes import for_figure, for_markdown
from mtl_traffic.flows import Flows
from mtl_traffic.tables import csv_text, markdown_table

# Section IV-C and the first row of Table IV.
PAPER_DURATIONS_S = {
  "google-music": 2.77,
  "google-search": 9.83,
  "google-drive": 32.08,
  "youtube": 56.44,
  "google-doc": 114.10,
}
PAPER_DURATION_DIVIDERS_S = (6.30, 20.96, 44.26, 85.27)
PAPER_BANDWIDTH_DIVIDERS_KBPS = (21.15, 164.02, 568.82, 2890.56)

BINS_PER_DECADE = 20


@dataclasses.dataclass(frozen=True)
class ClassStatistics:
  """Statistics of one class; averages are over its flows."""

  name: str
  flows: int
  packets_mean: float
  packets_median: float
  kilobytes_mean: float
  duration_s_mean: float
  duration_s_median: float
  whole_seconds_mean: float  # Each duration rounded down to whole seconds.
  bandwidth_kB_per_s_mean: float
  bandwidth_kB_per_s_median: float
  flows_without_bandwidth: int  # They last 0 s.


@dataclasses.dataclass(frozen=True)
class Dividers:
  """Midpoints between neighbouring class averages, ascending."""

  duration_s: list[float]
  whole_seconds: list[float]
  bandwidth_kB_per_s: list[float]


@dataclasses.dataclass(frozen=True)
class Histogram:
  """Flows by class in bins that are equally wide on a logarithmic axis.

  Attributes:
    name: the name of the file.
    label: the label of the axis, with the unit.
    edges: `[B + 1]`, bin b is edges[b] ≤ value < edges[b + 1].
    counts: `[B]` flows by class; flows without a value above 0 are in no bin.
    dividers: the limits between the classes of this quantity.
  """

  name: str
  label: str
  edges: np.ndarray
  counts: dict[str, np.ndarray]
  dividers: Sequence[float]


def bandwidths_kilobytes_per_s(flows: Flows) -> np.ndarray:
  """Average bandwidth of each flow, `[N]`; NaN for flows of 0 s."""
  bandwidths = targets.bandwidths(flows.num_bytes, flows.durations)
  return np.asarray(bandwidths, np.float64) / 1000


def class_statistics(flows: Flows) -> list[ClassStatistics]:
  """Statistics of each class that has flows."""
  bandwidths = bandwidths_kilobytes_per_s(flows)
  statistics = []
  for index, name in enumerate(flows.class_names):
    members = flows.classes == index
    if not members.any():
      continue
    durations = flows.durations[members]
    of_class = bandwidths[members]
    lasting = of_class[~np.isnan(of_class)]
    some = lasting if len(lasting) else np.array([np.nan])
    statistics.append(
      ClassStatistics(
        name=name,
        flows=int(members.sum()),
        packets_mean=float(flows.num_packets[members].mean()),
        packets_median=float(np.median(flows.num_packets[members])),
        kilobytes_mean=float(flows.num_bytes[members].mean() / 1000),
        duration_s_mean=float(durations.mean()),
        duration_s_median=float(np.median(durations)),
        whole_seconds_mean=float(np.floor(durations).mean()),
        bandwidth_kB_per_s_mean=float(some.mean()),
        bandwidth_kB_per_s_median=float(np.median(some)),
        flows_without_bandwidth=len(of_class) - len(lasting),
      )
    )
  return statistics


def dividers(statistics: Sequence[ClassStatistics]) -> Dividers:
  """The dividers that follow from the averages (section IV-C)."""

  def midpoints(field: str) -> list[float]:
    averages = np.array([getattr(of_class, field) for of_class in statistics])
    return np.asarray(targets.midpoint_dividers(averages), np.float64).tolist()

  return Dividers(
    duration_s=midpoints("duration_s_mean"),
    whole_seconds=midpoints("whole_seconds_mean"),
    bandwidth_kB_per_s=midpoints("bandwidth_kB_per_s_mean"),
  )


def histogram(
  name: str, label: str, values: np.ndarray, flows: Flows, dividers: Sequence[float]
) -> Histogram:
  """Counts the values of flows, `[N]`, by class in logarithmic bins."""
  there = (values > 0) & (flows.classes >= 0)
  bins = np.floor(np.log10(values[there]) * BINS_PER_DECADE).astype(int)
  first, last = (bins.min(), bins.max()) if len(bins) else (0, 0)
  edges = 10 ** (np.arange(first, last + 2) / BINS_PER_DECADE)
  counts = {}
  for index, class_name in enumerate(flows.class_names):
    members = bins[flows.classes[there] == index]
    if len(members):
      counts[class_name] = np.bincount(members - first, minlength=len(edges) - 1)
  return Histogram(name, label, edges, counts, dividers)


def figure(histogram: Histogram, order: Iterable[str]) -> Figure:
  """One panel per class, in the given order, on a common axis, with the dividers."""
  order = [name for name in order if name in histogram.counts]
  figure = Figure(figsize=(charts.WIDTH, 0.8 + 1.2 * len(order)), layout="constrained")
  panels = figure.subplots(len(order), sharex=True, squeeze=False)[:, 0]
  for panel, name in zip(panels, order, strict=True):
    counts = histogram.counts[name]
    panel.stairs(100 * counts / counts.sum(), histogram.edges, fill=True, color="0.5")
    for divider in histogram.dividers:
      panel.axvline(divider, color="black", linestyle=":", linewidth=1)
    panel.set_title(
      f"{for_figure(name)} ({counts.sum():,} flows)", loc="left", fontsize=charts.POINTS
    )
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(y=0.15)
  panels[0].set_xscale("log")
  panels[0].xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
  dividers = ", ".join(f"{divider:,.4g}" for divider in histogram.dividers)
  panels[-1].set_xlabel(f"{histogram.label}\ndotted: the dividers {dividers}")
  figure.supylabel("flows of the class (%)", fontsize="medium")
  return figure


def table(
  dataset: str, partitions: Sequence[str], statistics: Sequence[ClassStatistics]
) -> str:
  """Averages and dividers as Markdown, beside the paper's if it has these classes."""
  ours = dividers(statistics)
  paper = PAPER_DURATIONS_S
  if {of_class.name for of_class in statistics} != set(paper):
    paper = {}
  return f"""# Flows of {for_markdown(dataset)}

Partitions: {
    for_markdown(", ".join(partitions))
  }. Averages are over flows; 1 kB is 1000 bytes.

{
    _class_table(
      statistics,
      {
        "flows": lambda s: s.flows,
        "packets: mean": lambda s: s.packets_mean,
        "median": lambda s: s.packets_median,
        "kB: mean": lambda s: s.kilobytes_mean,
      },
    )
  }
## Duration (s)

{
    _class_table(
      sorted(statistics, key=lambda s: s.duration_s_mean),
      {
        "mean": lambda s: s.duration_s_mean,
        "mean, rounded down": lambda s: s.whole_seconds_mean,
        "paper: mean": lambda s: paper.get(s.name),
        "median": lambda s: s.duration_s_median,
      },
    )
  }
{
    _divider_table(
      {
        "from the means": ours.duration_s,
        "from the means, rounded down": ours.whole_seconds,
        "paper, section IV-C": PAPER_DURATION_DIVIDERS_S if paper else (),
      }
    )
  }
## Bandwidth

{
    _class_table(
      sorted(statistics, key=lambda s: s.bandwidth_kB_per_s_mean),
      {
        "mean (kB/s)": lambda s: s.bandwidth_kB_per_s_mean,
        "mean (kbit/s)": lambda s: 8 * s.bandwidth_kB_per_s_mean,
        "median (kB/s)": lambda s: s.bandwidth_kB_per_s_median,
        "flows of 0 s": lambda s: s.flows_without_bandwidth,
      },
    )
  }
{
    _divider_table(
      {
        "from the means (kB/s)": ours.bandwidth_kB_per_s,
        "from the means (kbit/s)": [8 * value for value in ours.bandwidth_kB_per_s],
        'paper, Table IV ("kbps")': PAPER_BANDWIDTH_DIVIDERS_KBPS if paper else (),
      }
    )
  }"""


def _class_table(
  statistics: Iterable[ClassStatistics],
  columns: Mapping[str, Callable[[ClassStatistics], float | None]],
) -> str:
  return markdown_table(
    ["class", *columns],
    [[s.name, *(_shown(value(s)) for value in columns.values())] for s in statistics],
  )


def _divider_table(rows: Mapping[str, Sequence[float]]) -> str:
  rows = {name: values for name, values in rows.items() if len(values)}
  if not rows:
    return "A single class has no dividers.\n"
  count = max(map(len, rows.values()))
  return markdown_table(
    ["dividers", *range(1, count + 1)],
    [[name, *map(_shown, values)] for name, values in rows.items()],
  )


def _shown(value: float | None) -> str:
  if value is None or np.isnan(value):
    return "–"
  return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def select(flows: Flows, partitions: Sequence[str] | None) -> Flows:
  """The flows of some partitions; all by default.

  Raises:
    InputError: a partition does not exist, or no flow in them has a class.
  """
  chosen = partitions or flows.partition_names
  unknown = sorted(set(chosen) - set(flows.partition_names))
  if unknown:
    raise InputError(
      f"partition {unknown[0]!r} is not in this dataset; "
      f"it has {', '.join(flows.partition_names)}"
    )
  indices = [flows.partition_names.index(name) for name in chosen]
  flows = flows[np.isin(flows.partitions, indices)]
  if not (flows.classes >= 0).any():
    raise InputError(f"no flow of {', '.join(chosen)} has a class")
  return flows


def write(dataset: str, flows: Flows, path: str | pathlib.Path) -> str:
  """Writes tables, numbers and figures to a work directory; returns the tables.

  Raises:
    InputError: the directory belongs to other flows or cannot be written.
  """
  partitions = [flows.partition_names[i] for i in np.unique(flows.partitions)]
  workdir = WorkDir(path, {"dataset": dataset, "partitions": partitions}, extent={})
  statistics = class_statistics(flows)
  ours = dividers(statistics)
  bandwidth = histogram(
    "bandwidth",
    "bandwidth (kB/s)",
    bandwidths_kilobytes_per_s(flows),
    flows,
    ours.bandwidth_kB_per_s,
  )
  duration = histogram(
    "duration", "duration (s)", flows.durations, flows, ours.duration_s
  )

  text = table(dataset, partitions, statistics)
  rows = [dataclasses.asdict(of_class) for of_class in statistics]
  numbers = {"classes": rows, "dividers": dataclasses.asdict(ours)}
  numbers = jax.tree.map(lambda x: None if x != x else x, numbers)  # JSON has no NaN.
  workdir.write_text("table.md", text)
  workdir.write_text("statistics.json", json.dumps(numbers, indent=2) + "\n")
  workdir.write_text(
    "classes.csv", csv_text([rows[0], *(row.values() for row in rows)])
  )
  workdir.write_text(
    "histograms.csv",
    csv_text(
      [
        ["quantity", "class", "from", "below", "flows"],
        *_histogram_rows(bandwidth),
        *_histogram_rows(duration),
      ]
    ),
  )
  by_duration = sorted(statistics, key=lambda s: s.duration_s_mean)
  by_bandwidth = sorted(statistics, key=lambda s: s.bandwidth_kB_per_s_mean)
  for of_quantity, order in ((bandwidth, by_bandwidth), (duration, by_duration)):
    drawn = figure(of_quantity, [of_class.name for of_class in order])
    files.write_figure(workdir.path / f"{of_quantity.name}.png", drawn)
  workdir.close()
  return text


def _histogram_rows(histogram: Histogram) -> Iterable[Sequence[object]]:
  edges = [f"{edge:.6g}" for edge in histogram.edges]
  for name, counts in histogram.counts.items():
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
      yield histogram.label, name, low, high, count
