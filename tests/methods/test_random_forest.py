import numpy as np

from mtl_traffic.flows import Packets
from mtl_traffic.methods import random_forest
from mtl_traffic.methods.random_forest import FEATURES

PACKETS = Packets(
  times=np.array([[0.0, 1.0, 3.0, 6.0, 0.0], [0.0, 0, 0, 0, 0]]),
  lengths=np.array([[100, 300, 200, 600, 0], [50, 0, 0, 0, 0]]),
  directions=np.array([[1, -1, 1, -1, 0], [1, 0, 0, 0, 0]], np.int8),
  counts=np.array([4, 1]),
)


def _features(row: int) -> dict[str, float]:
  values = random_forest.statistics(PACKETS)[row]
  return dict(zip(FEATURES, values, strict=True))


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
    )


def test_what_is_not_there_is_zero():
  features = _features(1)
  assert features["number of packets, to client"] == 0
  assert features["max of lengths, to client"] == 0
  assert features["max of inter-arrival times, both ways"] == 0
  assert all(np.isfinite(value) for value in features.values())


def test_online_features_end_with_the_kth_packet(study, flows, draw, monkeypatch):
  seen = []
  statistics = random_forest.statistics

  def recording(packets):
    seen.append(packets)
    return statistics(packets)

  monkeypatch.setattr(random_forest, "statistics", recording)
  drawn = draw(4)
  short = study.inputs[:, :9]
  study = study.__class__(flows, short, study.num_classes, study.schedule)
  random_forest.random_forest_online(study, drawn, None, drawn.test)
  random_forest.random_forest(study, drawn, None, drawn.test)
  online, offline = seen
  assert online.times.shape[1] == 9
  assert online.counts.max() == 9
  assert offline.times.shape[1] == flows.packets.times.shape[1]
