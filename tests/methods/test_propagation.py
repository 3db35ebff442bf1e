import numpy as np
import pytest

from mtl_traffic.methods import propagation


def test_means_of_neighbours_by_hand():
  # One tree, two leaves. Flow 0 made the first, twice over, and flow 1 too; flow 3 the
  # second. Flows 2 and 4 were left out.
  leaves = np.array([[1], [1], [1], [2], [2]])
  drawn = np.array([[2], [1], [0], [1], [0]])
  means = propagation.neighbour_means(leaves, drawn)
  values = np.array([[3.0, 0.0], [0.0, 6.0], [9.0, 9.0], [1.0, 5.0], [9.0, 9.0]])
  np.testing.assert_allclose(means(values), [[0, 0], [0, 0], [2, 2], [0, 0], [1, 5]])


def test_each_tree_that_did_not_learn_from_a_flow_counts_alike():
  leaves = np.array([[0, 0], [0, 1], [0, 1]])
  drawn = np.array([[0, 1], [1, 0], [1, 1]])
  values = np.array([[10.0], [2.0], [4.0]])
  means = propagation.neighbour_means(leaves, drawn)
  # Flow 0 asks the first tree, flow 1 the second, flow 2 none.
  np.testing.assert_allclose(means(values), [[3], [4], [0]])


@pytest.fixture
def columns():
  """60 flows in two heaps."""
  heap = np.arange(60) % 2
  noise = 0.1 * np.random.default_rng(0).standard_normal((60, 2))
  return heap, heap[:, None] + noise


def test_neighbours_correct_an_opinion_and_labels_stay(columns):
  heap, columns = columns
  opinions = np.where(np.eye(2)[heap] > 0, 0.9, 0.1)
  opinions[10] = 1 - opinions[10]
  opinions[:2] = np.eye(2)[1 - heap[:2]]  # Labels against all evidence.
  heard = propagation.propagated(columns, opinions, 1 - heap[:2], seed=0)
  np.testing.assert_allclose(heard.sum(axis=1), 1)
  np.testing.assert_array_equal(heard[:2], opinions[:2])
  assert heard[10].argmax() == heap[10]


def test_opinions_from_many_labels_are_held_on_to(columns):
  heap, columns = columns
  opinions = np.where(np.eye(2)[heap] > 0, 0.9, 0.1)
  opinions[50] = 1 - opinions[50]
  opinions[:40] = np.eye(2)[heap[:40]]
  heard = propagation.propagated(columns, opinions, heap[:40], seed=0)
  assert heard[50].argmax() != heap[50]


@pytest.mark.parametrize(("labels", "share"), [([0, 1], 0.5), ([0, 0, 0, 1], 0.25)])
def test_classes_weigh_as_their_labels(labels, share):
  # 50 flows are surely of the first class and 4 of the other; all look the same.
  opinions = np.eye(2)[labels + [0] * 50 + [1] * 4]
  opinions = np.concatenate([opinions, np.full((8, 2), 0.5)])
  columns = np.zeros((len(opinions), 1))
  heard = propagation.propagated(columns, opinions, np.array(labels), seed=0)
  np.testing.assert_allclose(heard[-8:, 1], share, atol=0.1)
  weighed = propagation.weighed(opinions, np.array(labels))
  np.testing.assert_allclose(weighed.sum(axis=0), [1 - share, share])
