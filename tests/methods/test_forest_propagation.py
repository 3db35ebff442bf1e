import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import encoding, evaluation
from mtl_traffic.draws import Draw
from mtl_traffic.flows import Flows, Packets
from mtl_traffic.methods import ABLATIONS, forest_propagation
from mtl_traffic.methods.base import Problem
from mtl_traffic.methods.forest_propagation import ForestPropagation

PACKETS = Packets(
  times=np.array([[0.0, 0.01, 0.02, 0.0]]),
  lengths=np.array([[60, 1486, 70, 0]]),
  directions=np.array([[1, -1, 1, 0]], np.int8),
  counts=np.array([3]),
)


def _features(packets, k):
  return np.asarray(forest_propagation.features(encoding.first_packets(packets, k)))


def _scores(method, problem, drawn, parameters):
  return method.ask(parameters, problem.inputs, drawn.test)


def test_features_by_hand():
  (row,) = _features(PACKETS, k=6)
  np.testing.assert_allclose(row[:6], [60, -1486, 70, 0, 0, 0])
  np.testing.assert_allclose(row[6:12], [-6, -2, -2, -7, -7, -7], atol=1e-5)
  # Among the first packet, the first three, and all, which are three, too:
  # 30 intervals and the bytes, to the server and back.
  first, half, whole = row[12:].reshape(3, 2, 31)
  assert first[0].nonzero()[0].tolist() == [1, 30]
  assert first[0, 30] == 60
  assert not first[1].any()
  np.testing.assert_array_equal(half, whole)
  assert (half[0, 1], half[0, 30], half[1, 29], half[1, 30]) == (2, 130, 1, 1486)


def test_features_end_with_the_kth_packet():
  changed = PACKETS.replace(lengths=PACKETS.lengths + 100 * (np.arange(4) > 1))
  two = [_features(packets, k=2) for packets in (PACKETS, changed)]
  np.testing.assert_array_equal(*two)
  assert two[0].shape == (1, 2 + 2 + 3 * 2 * 31)


def test_answers_are_probabilities_of_all_three_tasks(make, problem_of, draw, fit):
  method, drawn = make("forest_propagation"), draw(8)
  problem = problem_of(method)
  scores = _scores(method, problem, drawn, fit(method, problem, drawn))
  for task in ("bandwidth", "duration", "class"):
    np.testing.assert_allclose(np.exp(scores[task]).sum(axis=-1), 1, rtol=1e-5)
    target = np.asarray(drawn.targets[task])[0]
    if task == "class":
      target = problem.flows.classes
    accuracy = evaluation.accuracy(scores[task][0], target[np.asarray(drawn.test[0])])
    assert accuracy > 0.5


def test_a_flow_without_duration_trains_and_votes_on_no_bandwidth(
  make, problem_of, draw, fit, flows
):
  method, drawn = make("forest_propagation"), draw(5)
  durations = np.array(flows.durations)
  still = np.asarray(drawn.train[0, 20:30])
  durations[still] = 0
  drawn.targets["bandwidth"] = drawn.targets["bandwidth"].at[0, still].set(-1)
  problem = problem_of(method, flows.replace(durations=durations))
  scores = _scores(method, problem, drawn, fit(method, problem, drawn))
  assert all(np.isfinite(of_task).all() for of_task in scores.values())


@pytest.mark.parametrize("name", ABLATIONS)
def test_without_one_part_it_still_learns_the_class(
  make, problem_of, draw, fit, flows, name
):
  drawn = draw(8)

  def scores(name):
    method = make(name)
    problem = problem_of(method)
    return _scores(method, problem, drawn, fit(method, problem, drawn))["class"][0]

  without = scores(name)
  truth = flows.classes[np.asarray(drawn.test[0])]
  assert evaluation.accuracy(without, truth) > 0.5
  assert not np.allclose(without, scores("forest_propagation"))


def test_the_class_is_the_product_of_both_opinions(make, problem_of, draw, fit):
  drawn = draw(8)

  def probabilities(*parts):
    method = make("forest_propagation", parts=("length_counts", *parts))
    problem = problem_of(method)
    return np.exp(_scores(method, problem, drawn, fit(method, problem, drawn))["class"])

  product = probabilities("unlabelled_flows") * probabilities("labelled_packets")
  np.testing.assert_allclose(
    probabilities("unlabelled_flows", "labelled_packets"),
    product / product.sum(axis=-1, keepdims=True),
    rtol=1e-4,
  )
  # No opinion excludes a class.
  assert probabilities("labelled_packets").min() > 0


def _made(lengths, durations, labels, num_classes):
  """A problem and a draw of flows of one packet each; the first ones are labelled."""
  num_flows, zeros = len(lengths), np.zeros(len(lengths), np.int32)
  flows = Flows(
    packets=Packets(
      times=np.zeros((num_flows, 1)),
      lengths=np.array(lengths)[:, None],
      directions=np.ones((num_flows, 1), np.int8),
      counts=np.ones(num_flows, np.int32),
    ),
    num_packets=np.ones(num_flows, int),
    durations=np.array(durations, float),
    num_bytes=np.full(num_flows, 1000),
    classes=zeros - 1,
    partitions=zeros,
    ids=zeros.astype(str),
    class_names=("a", "b", "c")[:num_classes],
    partition_names=("p",),
  )
  unlabelled = [-1] * (num_flows - len(labels))
  drawn = Draw(
    key=jax.random.key(0),
    train=jnp.arange(num_flows),
    num_train=jnp.array(num_flows),
    num_labelled=jnp.array(len(labels)),
    validation=jnp.zeros(0, int),
    num_validation=jnp.array(0),
    test=jnp.arange(num_flows),
    num_test=jnp.array(num_flows),
    targets={
      "class": jnp.array([*labels, *unlabelled]),
      "bandwidth": jnp.zeros(num_flows, int),
      "duration": jnp.zeros(num_flows, int),
    },
    dividers={},
    epoch_size=num_flows,
  )
  method = ForestPropagation(parts=("unlabelled_flows",))
  problem = Problem(
    flows=flows,
    inputs=method.inputs(encoding.first_packets(flows.packets, 1)),
    num_classes={"bandwidth": 1, "duration": 1, "class": num_classes},
  )
  return method, problem, jax.tree.map(lambda leaf: leaf[None], drawn)


def _class_probabilities(*made):
  method, problem, drawn = made
  scores = _scores(method, problem, drawn, method.fit(problem, drawn, {}))
  return np.exp(np.asarray(scores["class"][0]))


def test_classes_weigh_alike_however_many_flows_they_have():
  # All flows look the same, so all are in one leaf. Twenty flows without label last as
  # long as those of class a, four as those of b, and two as those of c.
  of_class = [1.0, 1, 5, 5, 9, 9]
  durations = [*of_class, *[1.0] * 20, *[5.0] * 4, *[9.0] * 2]
  made = _made([100] * 32, durations, [0, 0, 1, 1, 2, 2], 3)
  np.testing.assert_allclose(_class_probabilities(*made), 1 / 3, rtol=1e-4)


def test_labelled_flows_keep_their_labels():
  # Those with a label last as long in both classes, so durations say nothing of the
  # class. What is left are the labels in the leaves of short and of long packets.
  lengths = [100, 100, 1000, 1000, *[100] * 4, *[1000] * 4]
  durations = [5.0] * 4 + [1.0] * 4 + [9.0] * 4
  probabilities = _class_probabilities(*_made(lengths, durations, [0, 0, 1, 1], 2))
  # In a leaf of short packets: two flows of class a, and four of which nobody knows. As
  # many are of each class, so weights change nothing; then doubt.
  expected = (4 / 6 + 0.02) / 1.04
  np.testing.assert_allclose(probabilities[0], [expected, 1 - expected], rtol=1e-3)
  np.testing.assert_allclose(probabilities[2], [1 - expected, expected], rtol=1e-3)


def test_unlabelled_flows_pass_on_what_their_totals_say():
  # Durations tell the classes apart. Packets of 700 bytes come without label alone, of
  # flows that last as long as those of class b.
  lengths = [100, 100, 1000, 1000, *[700] * 4, *[100] * 4]
  durations = [1.0, 1, 9, 9, *[9.0] * 4, *[1.0] * 4]
  probabilities = _class_probabilities(*_made(lengths, durations, [0, 0, 1, 1], 2))
  assert probabilities[4, 1] > 0.9
  assert probabilities[8, 0] > 0.9


def test_targets_of_a_leaf_are_those_of_its_training_flows():
  method, problem, drawn = _made(
    [100] * 4 + [1000] * 4, [1.0] * 4 + [9.0] * 4, [0, 1], 2
  )
  problem = dataclasses.replace(
    problem, num_classes={**problem.num_classes, "duration": 2}
  )
  drawn.targets["duration"] = jnp.array([[0, 0, 0, 1, 1, 1, 1, 1]])
  scores = _scores(method, problem, drawn, method.fit(problem, drawn, {}))
  probabilities = np.exp(np.asarray(scores["duration"][0]))
  np.testing.assert_allclose(probabilities[0], [0.75, 0.25], rtol=1e-4)
  np.testing.assert_allclose(probabilities[7, 1], 1, rtol=1e-4)
