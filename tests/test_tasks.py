import numpy as np
import pytest

from mtl_traffic import tasks
from mtl_traffic.flows import Flows, Packets

FLOWS = Flows(
  packets=Packets(
    times=np.array([[0.0, 0.05, 0.35, 0.40], [0.0, 0, 0, 0]]),
    lengths=np.array([[100, 200, 300, 400], [60, 0, 0, 0]]),
    directions=np.array([[1, -1, 1, -1], [1, 0, 0, 0]], np.int8),
    counts=np.array([4, 1]),
  ),
  num_packets=np.array([11, 1]),
  durations=np.array([5.0, 0.0]),
  num_bytes=np.array([6_000_000_000, 60]),
  classes=np.array([0, 0]),
  partitions=np.array([0, 0]),
  ids=np.array(["a", "b"]),
  class_names=("x",),
  partition_names=("p",),
)


@pytest.mark.parametrize(
  ("task", "expected"),
  [
    ("bandwidth", [1.2e9, np.nan]),
    ("duration", [5, 0]),
    ("mean_length", [6e9 / 11, 60]),
    # Of the whole flow: ten gaps in 5 s.
    ("mean_inter_arrival_time", [0.5, np.nan]),
    # Of the stored packets: gaps of 0.05, 0.3 and 0.05 s.
    ("inter_arrival_time_deviation", [np.std([0.05, 0.3, 0.05]), np.nan]),
    ("bursts", [2, 1]),
  ],
)
def test_values_by_hand(task, expected):
  np.testing.assert_allclose(tasks.TASKS[task](FLOWS), expected, rtol=1e-6)


def test_the_papers_tasks_are_registered():
  assert set(tasks.MAIN_TASKS) <= set(tasks.TASKS)
