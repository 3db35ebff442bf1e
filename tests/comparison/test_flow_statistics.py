"""Tests of the statistics of flows, against values worked out by hand."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from mtl_traffic.comparison import flow_statistics
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, Packets


@pytest.fixture
def flows() -> Flows:
  """Two flows of `slow`, three of `fast`, one of them of 0 s, and one unknown."""
  classes = np.array([1, 1, 0, 0, 0, -1], np.int32)
  ones = np.ones((6, 1))
  return Flows(
    packets=Packets(
      times=0 * ones,
      lengths=ones.astype(np.int32),
      directions=ones.astype(np.int8),
      counts=np.ones(6, np.int32),
    ),
    num_packets=np.array([10, 20, 1, 2, 6, 99]),
    durations=np.array([20.5, 10.25, 0.0, 0.5, 2.5, 7.0]),
    num_bytes=np.array([41_000, 41_000, 1000, 5000, 10_000, 1]),
    classes=classes,
    partitions=np.array([0, 0, 0, 0, 1, 1], np.int32),
    ids=np.array(list("abcdef")),
    class_names=("fast", "slow"),
    partition_names=("training", "test"),
  )


def test_averages_by_hand(flows):
  fast, slow = flow_statistics.class_statistics(flows)
  assert (fast.name, fast.flows, slow.name, slow.flows) == ("fast", 3, "slow", 2)
  assert (fast.packets_mean, fast.packets_median, slow.packets_mean) == (3, 2, 15)
  assert slow.kilobytes_mean == 41
  assert (fast.duration_s_mean, fast.duration_s_median) == (1, 0.5)
  assert (slow.duration_s_mean, slow.whole_seconds_mean) == (15.375, 15)
  # 2 and 4 kB/s; the mean of the ratios, not the ratio of the means.
  assert slow.bandwidth_kB_per_s_mean == 3
  # 10 and 4 kB/s; the flow of 0 s has no bandwidth.
  assert fast.bandwidth_kB_per_s_mean == 7
  assert (fast.flows_without_bandwidth, slow.flows_without_bandwidth) == (1, 0)


def test_dividers_are_midpoints(flows):
  dividers = flow_statistics.dividers(flow_statistics.class_statistics(flows))
  assert dividers.duration_s == [(1 + 15.375) / 2]
  assert dividers.whole_seconds == [pytest.approx((2 / 3 + 15) / 2)]
  assert dividers.bandwidth_kB_per_s == [5]


def test_a_class_without_bandwidth_has_no_average(flows):
  statistics = flow_statistics.class_statistics(flows[flows.durations == 0])
  assert [of_class.name for of_class in statistics] == ["fast"]
  assert np.isnan(statistics[0].bandwidth_kB_per_s_mean)
  assert "–" in flow_statistics.table("d", ["training"], statistics)


def test_histogram_counts_every_flow_in_its_bin(flows):
  histogram = flow_statistics.histogram(
    "duration", "duration (s)", flows.durations, flows, []
  )
  # The flow of 0 s has no place on a logarithmic axis, the unknown one no class.
  assert {name: counts.sum() for name, counts in histogram.counts.items()} == {
    "fast": 2,
    "slow": 2,
  }
  ratios = histogram.edges[1:] / histogram.edges[:-1]
  np.testing.assert_allclose(ratios, 10 ** (1 / flow_statistics.BINS_PER_DECADE))
  (bins,) = np.nonzero(histogram.counts["slow"])
  for index, duration in zip(bins, (10.25, 20.5), strict=True):
    assert histogram.edges[index] <= duration < histogram.edges[index + 1]


def test_a_value_on_the_last_edge_is_counted(flows):
  values = np.full(6, 100.0)
  histogram = flow_statistics.histogram("x", "x", values, flows, [])
  assert sum(counts.sum() for counts in histogram.counts.values()) == 5


def test_selects_partitions(flows):
  assert flow_statistics.select(flows, ["test"]).ids.tolist() == ["e", "f"]
  assert len(flow_statistics.select(flows, None)) == 6
  with pytest.raises(InputError, match="partition 'absent' is not in this dataset"):
    flow_statistics.select(flows, ["test", "absent"])
  with pytest.raises(InputError, match="no flow of test has a class"):
    unknown = flows.replace(classes=np.full(6, -1, np.int32))
    flow_statistics.select(unknown, ["test"])


def test_the_papers_values_stand_beside_its_own_classes_only(flows):
  statistics = flow_statistics.class_statistics(flows)
  assert "paper, " not in flow_statistics.table("d", ["training"], statistics)
  names = sorted(flow_statistics.PAPER_DURATIONS_S)
  flows = flows.replace(
    class_names=tuple(names), classes=np.array([0, 1, 2, 3, 4, 4], np.int32)
  )
  statistics = flow_statistics.class_statistics(flows)
  text = flow_statistics.table("d", ["training"], statistics)
  assert "114.10" in text and "85.27" in text and "2,890.56" in text


def test_the_binary_writes_everything(flows, tmp_path):
  flows = flows.replace(durations=np.where(flows.classes == 0, 0.0, flows.durations))
  parquet.write(flows, tmp_path / "flows.parquet")
  command = [sys.executable, "-m", "experiments.flow_statistics"]
  flags = [f"--dataset={tmp_path / 'flows.parquet'}", f"--workdir={tmp_path / 'out'}"]
  done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  out = tmp_path / "out"
  assert (out / "table.md").read_text() in done.stdout
  numbers = json.loads((out / "statistics.json").read_text())
  assert numbers["dividers"]["duration_s"] == [15.375 / 2]
  assert numbers["classes"][0]["bandwidth_kB_per_s_mean"] is None
  assert numbers["dividers"]["bandwidth_kB_per_s"] == [None]
  with open(out / "classes.csv") as file:
    assert [row["name"] for row in csv.DictReader(file)] == ["fast", "slow"]
  with open(out / "histograms.csv") as file:
    rows = list(csv.DictReader(file))
  for quantity in ("bandwidth (kB/s)", "duration (s)"):
    assert sum(int(r["flows"]) for r in rows if r["quantity"] == quantity) == 2
  for name in ("bandwidth", "duration"):
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
