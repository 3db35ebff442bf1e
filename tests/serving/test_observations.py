import numpy as np
import pytest

from mtl_traffic.serving.judgement import Reason
from mtl_traffic.serving.observations import captures_of, join, observe
from mtl_traffic.serving.predictor import Predictor
from tests.serving.model_maker import DIVIDERS, make_model

K = 10


@pytest.fixture(scope="module")
def predictor():
  return Predictor(*make_model(k=K, num_members=2, shortest_prefix=4, min_packets=9))


@pytest.fixture
def captured(flows):
  """Flows of two captures, of classes of which the model knows two, or of none."""
  return flows.replace(
    classes=np.where(np.arange(90) < 6, -1, flows.classes),
    class_names=("b", "new", "a"),
    partitions=np.arange(90, dtype=np.int32) % 2,
    partition_names=("x#1.pcap", "y.pcap"),
    ids=np.array([f"{('x#1.pcap', 'y.pcap')[i % 2]}#{i}" for i in range(90)]),
  )


def test_only_flows_with_a_class_are_asked_about(predictor, captured):
  observed = observe(predictor, captured)
  assert len(observed) == 84
  assert observed.class_names == ("a", "b", "c", "new") and observed.num_known == 3
  names = [observed.class_names[i] for i in observed.tasks["class"].truth]
  assert names == [captured.class_names[i] for i in captured.classes[6:]]
  assert observed.captures.tolist() == ["x#1.pcap", "y.pcap"] * 42


def test_the_answers_are_those_of_the_model(predictor, captured):
  observed = observe(predictor, captured, points=(5, K), threshold=0.4)
  flows = captured[6:]
  for point, answered in observed.after.items():
    answers = predictor(flows, point)
    np.testing.assert_array_equal(answered.best, answers.labels("class"))
    np.testing.assert_allclose(answered.confidences, answers.confidences("class"))
  # In training no flow had fewer than nine packets, so none is answered after five.
  assert (observed.after[5].reasons == Reason.TOO_FEW).all()
  few = np.minimum(flows.num_packets, K) < 9
  sure = observed.tasks["class"].confidences >= 0.4
  np.testing.assert_array_equal(observed.tasks["class"].labels >= 0, ~few & sure)
  np.testing.assert_array_equal(observed.seen, np.minimum(flows.num_packets, K))
  assert observed.tasks["duration"].truth.tolist() == [
    int(duration >= DIVIDERS["duration"][0]) for duration in flows.durations
  ]


def test_a_flow_that_was_cut_off_has_no_true_bandwidth_and_duration(
  predictor, captured
):
  came_to_end = np.arange(90) % 3 == 0
  observed = observe(predictor, captured, came_to_end=came_to_end)
  for task in ("bandwidth", "duration"):
    known = observed.tasks[task].truth >= 0
    np.testing.assert_array_equal(known, came_to_end[6:])
    assert not observed.tasks[task].is_right[~known].any()


def test_batches_that_are_joined_are_the_whole(predictor, captured):
  clients = [f"10.0.0.{i % 4}" if i % 5 else None for i in range(90)]
  options = {"points": (5, K), "threshold": 0.4}
  whole = observe(predictor, captured, clients=clients, **options)
  joined = join(
    [
      observe(predictor, captured[some], clients=clients[some], **options)
      for some in (slice(0, 7), slice(7, 90))
    ]
  )
  assert joined.class_names == whole.class_names
  for name in ("seen", "captures", "clients"):
    np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
  for one, other in ((joined.tasks, whole.tasks), (joined.after, whole.after)):
    assert one.keys() == other.keys()
    for key in one:
      np.testing.assert_array_equal(one[key].truth, other[key].truth)
      np.testing.assert_array_equal(one[key].labels, other[key].labels)
      np.testing.assert_allclose(one[key].confidences, other[key].confidences)


def test_the_training_flows_of_each_class_are_those_of_the_model(captured):
  predictor = Predictor(*make_model(k=K, class_counts=(3, 0, 9)))
  batches = [observe(predictor, captured[some]) for some in (slice(9), slice(9, 90))]
  assert join(batches).class_counts == batches[0].class_counts == (3, 0, 9)


def test_a_partition_is_a_capture_if_flows_are_named_after_it(flows, captured):
  assert set(captures_of(flows)) == {""}
  assert set(captures_of(captured)) == {"x#1.pcap", "y.pcap"}
