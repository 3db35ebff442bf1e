import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

from mtl_traffic import evaluation
from mtl_traffic.flows import Packets
from mtl_traffic.methods import ABLATIONS, forest_propagation

PACKETS = Packets(
  times=np.array([[0.0, 0.01, 0.02, 0.0]]),
  lengths=np.array([[60, 1486, 70, 0]]),
  directions=np.array([[1, -1, 1, 0]], np.int8),
  counts=np.array([3]),
)


def test_features_by_hand():
  (row,) = forest_propagation.features(PACKETS, k=6)
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
  two = [forest_propagation.features(packets, k=2) for packets in (PACKETS, changed)]
  np.testing.assert_array_equal(*two)
  assert two[0].shape == (1, 2 + 2 + 3 * 2 * 31)


def test_flows_of_the_same_leaves_vote_by_hand():
  # Two trees of two leaves each; the last leaf has no training flow.
  known = sparse.csr_matrix(np.array([[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0]]))
  asked = sparse.csr_matrix(np.array([[1, 0, 1, 0], [0, 1, 0, 1]]))
  values = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
  np.testing.assert_allclose(
    forest_propagation.vote(asked, known, values),
    [[(1 / 2 + 1 / 3) / 2, (1 / 2 + 2 / 3) / 2], [0.0, 0.5]],
  )


def test_answers_for_all_three_tasks(study, draw):
  drawn = draw(8)
  scores = forest_propagation.forest_propagation(study, drawn, jnp.ones(1), drawn.test)
  for task in ("bandwidth", "duration", "class"):
    np.testing.assert_allclose(scores[task].sum(axis=-1), 1, rtol=1e-6)
    target = np.asarray(drawn.targets[task])[0]
    if task == "class":
      target = study.flows.classes
    accuracy = evaluation.accuracy(scores[task][0], target[np.asarray(drawn.test[0])])
    assert accuracy > 0.5


def test_knows_neither_unlabelled_classes_nor_totals_of_flows_asked_about(study, draw):
  drawn = draw(5)
  flows = study.flows
  labelled = np.asarray(drawn.train[0, :15])
  asked = np.asarray(drawn.test[0])
  classes, durations, num_bytes = (
    np.array(leaf) for leaf in (flows.classes, flows.durations, flows.num_bytes)
  )
  classes[np.setdiff1d(np.arange(len(flows)), labelled)] = 0
  durations[asked], num_bytes[asked] = 1e6, 1
  spoilt = dataclasses.replace(
    study,
    flows=flows.replace(classes=classes, durations=durations, num_bytes=num_bytes),
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    *(
      forest_propagation.forest_propagation(one, drawn, jnp.ones(1), drawn.test)
      for one in (study, spoilt)
    ),
  )


def test_a_run_is_the_same_in_whatever_company(study, draw):
  both = draw(4, 8)
  alone = jax.tree.map(lambda leaf: leaf[1:], both)
  of_both, of_one = (
    forest_propagation.forest_propagation(study, one, None, one.test)
    for one in (both, alone)
  )
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1:], b), of_both, of_one)


def test_a_flow_without_duration_trains_and_votes_on_no_bandwidth(study, draw):
  durations = np.array(study.flows.durations)
  drawn = draw(5)
  still = np.asarray(drawn.train[0, 20:30])
  durations[still] = 0
  drawn.targets["bandwidth"] = drawn.targets["bandwidth"].at[0, still].set(-1)
  spoilt = dataclasses.replace(study, flows=study.flows.replace(durations=durations))
  scores = forest_propagation.forest_propagation(spoilt, drawn, None, drawn.test)
  assert all(np.isfinite(of_task).all() for of_task in scores.values())


@pytest.mark.parametrize("name", ABLATIONS)
def test_without_one_part_it_still_learns_the_class(study, draw, name):
  drawn = draw(8)
  scores = ABLATIONS[name](study, drawn, None, drawn.test)
  truth = study.flows.classes[np.asarray(drawn.test[0])]
  assert evaluation.accuracy(scores["class"][0], truth) > 0.5
  whole = forest_propagation.forest_propagation(study, drawn, None, drawn.test)
  assert not np.array_equal(scores["class"], whole["class"])


def test_the_class_is_the_product_of_both_opinions(study, draw):
  drawn = draw(8)

  def scores(*parts):
    answered = forest_propagation.forest_propagation(
      study, drawn, None, drawn.test, parts=("length_counts", *parts)
    )
    return answered["class"]

  product = scores("unlabelled_flows") * scores("labelled_packets")
  np.testing.assert_allclose(
    scores("unlabelled_flows", "labelled_packets"),
    product / product.sum(axis=-1, keepdims=True),
    rtol=1e-6,
  )
  # No opinion excludes a class.
  assert scores("labelled_packets").min() > 0
