import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import encoding
from mtl_traffic.flows import Packets
from mtl_traffic.methods import packet_statistics
from mtl_traffic.methods.packet_statistics import FEATURES

PACKETS = Packets(
  times=np.array([[0.0, 1.0, 3.0, 6.0, 0.0], [0.0, 0, 0, 0, 0]]),
  lengths=np.array([[100, 300, 200, 600, 0], [50, 0, 0, 0, 0]]),
  directions=np.array([[1, -1, 1, -1, 0], [1, 0, 0, 0, 0]], np.int8),
  counts=np.array([4, 1]),
)


def _features(row: int, packets: Packets = PACKETS) -> dict[str, float]:
  values = packet_statistics.statistics(encoding.first_packets(packets, 5))[row]
  return dict(zip(FEATURES, np.asarray(values), strict=True))


def test_statistics_by_hand():
  features = _features(0)
  assert features["number of packets, both ways"] == 4
  assert features["number of packets, to server"] == 2
  assert features["min of lengths, both ways"] == 100
  assert features["max of lengths, to client"] == 600
  assert features["mean of lengths, to server"] == 150
  assert features["deviation of lengths, to server"] == 50
  assert features["max of inter-arrival times, both ways"] == 3
  # Towards the server packets come at 0 and 3 s, towards the client at 1 and 6 s.
  assert features["mean of inter-arrival times, to server"] == 3
  assert features["min of inter-arrival times, to client"] == 5


def test_percentiles_equal_numpys():
  features = _features(0)
  for percentile in (10, 50, 90):
    np.testing.assert_allclose(
      features[f"{percentile}th percentile of lengths, both ways"],
      np.percentile([100, 200, 300, 600], percentile),
      rtol=1e-6,
    )


def test_what_is_not_there_is_zero():
  features = _features(1)
  assert features["number of packets, to client"] == 0
  assert features["max of lengths, to client"] == 0
  assert features["max of inter-arrival times, both ways"] == 0
  assert all(np.isfinite(value) for value in features.values())


def test_gaps_of_microseconds_late_in_a_flow_are_kept():
  late = Packets(
    times=np.array([[0.0, 600.0, 600.000002, 600.000005, 600.000011]]),
    lengths=np.full((1, 5), 100),
    directions=np.array([[1, -1, 1, -1, 1]], np.int8),
    counts=np.array([5]),
  )
  features = _features(0, late)
  for name, expected in (
    ("min of inter-arrival times, both ways", 2e-6),
    ("min of inter-arrival times, to client", 5e-6),
    ("min of inter-arrival times, to server", 9e-6),
    ("max of inter-arrival times, to server", 600.000002),
  ):
    assert features[name] == pytest.approx(expected, rel=1e-4)


def test_gaps_of_each_direction_equal_differences_of_times(flows):
  statistics = packet_statistics.statistics(encoding.first_packets(flows.packets, 24))
  for sign, direction in ((1, "to server"), (-1, "to client")):
    column = FEATURES.index(f"mean of inter-arrival times, {direction}")
    for row in range(20):
      times = flows.packets.times[row, flows.packets.directions[row] == sign]
      expected = np.diff(times).mean() if len(times) > 1 else 0
      np.testing.assert_allclose(statistics[row, column], expected, rtol=1e-4)


@pytest.mark.parametrize("num_values", [1, 2, 3, 7, 8, 60])
def test_rows_are_sorted(num_values):
  rng = np.random.default_rng(0)
  values = rng.integers(0, 20, (50, num_values)).astype(np.float32)
  values[rng.random(values.shape) < 0.2] = np.inf
  found = packet_statistics.sorted_rows(jnp.asarray(values))
  np.testing.assert_array_equal(found, np.sort(values, axis=1))
