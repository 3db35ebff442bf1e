import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic.flows import Flows, Packets
from mtl_traffic.methods import teacher

SURE, UNSURE = np.array([[0.98, 0.02]]), np.array([[0.5, 0.5]])


def _flows(durations, num_packets, num_bytes):
  num_flows = len(durations)
  return Flows(
    packets=Packets(
      times=np.zeros((num_flows, 1)),
      lengths=np.full((num_flows, 1), 100, np.int32),
      directions=np.ones((num_flows, 1), np.int8),
      counts=np.ones(num_flows, np.int32),
    ),
    num_packets=np.array(num_packets),
    durations=np.array(durations),
    num_bytes=np.array(num_bytes),
    classes=np.zeros(num_flows, np.int32),
    partitions=np.zeros(num_flows, np.int32),
    ids=np.arange(num_flows).astype(str),
    class_names=("a",),
    partition_names=("p",),
  )


def test_totals_by_hand():
  found = teacher.totals(_flows([2.0, 0.0], [4, 1], [1000, 60]))
  np.testing.assert_allclose(found, [[500, 2, 4, 1000, 250], [np.nan, 0, 1, 60, 60]])


def test_ranks_by_hand():
  values = np.array([[3.0], [1.0], [np.nan], [2.0]])
  np.testing.assert_allclose(teacher.ranked(values), [[0.75], [0.25], [0.5], [0.5]])


def test_opinions_are_multiplied_to_their_powers():
  # A doubt of 0.02 first: (1.0, 0.04) / 1.04 and (0.52, 0.52) / 1.04.
  ratio = 1.0 / 0.04
  for powers, odds in (((1, 1), ratio), ((2, 1), ratio**2), ((0, 1), 1.0)):
    ((first, second),) = teacher.multiplied([SURE, UNSURE], powers)
    np.testing.assert_allclose(first / second, odds, rtol=1e-6)
    np.testing.assert_allclose(first + second, 1)


def test_a_source_that_misleads_is_heard_less():
  labels = np.arange(40) % 2
  right = np.where(np.eye(2)[labels] > 0, 0.9, 0.1)
  wrong = np.where(np.arange(40)[:, None] % 3 == 0, right, 1 - right)
  good, bad = teacher.source_powers([right, wrong], labels)
  assert good > 1.3 > 0.7 > bad


def test_powers_stay_at_one_where_labels_say_nothing():
  unknown = np.full((2, 2), np.nan)  # A class of one flow has nothing out of bag.
  np.testing.assert_allclose(
    teacher.source_powers([unknown, unknown], np.array([0, 1])), 1
  )


@pytest.fixture
def columns():
  """Two sources of 60 flows of two classes, of which one tells the class."""
  rng = np.random.default_rng(0)
  classes = np.arange(60) % 2
  telling = classes[:, None] + 0.1 * rng.standard_normal((60, 2))
  noise = rng.standard_normal((60, 3))
  return classes, [telling.astype(np.float32), noise.astype(np.float32)]


def test_unlabelled_flows_get_their_class_and_labelled_ones_keep_theirs(columns):
  classes, sources = columns
  labels = classes[:16].copy()
  labels[0] = 1 - labels[0]  # Against all evidence.
  found = teacher.opinions(sources, labels, 2, seed=0)
  assert found.shape == (60, 2)
  np.testing.assert_allclose(found.sum(axis=1), 1)
  np.testing.assert_array_equal(found[:16], np.eye(2)[labels])
  assert np.mean(found[16:].argmax(axis=1) == classes[16:]) > 0.9


def test_one_label_a_class_is_enough(columns):
  classes, sources = columns
  found = teacher.opinions(sources[:1], classes[:2], 2, seed=0)
  assert np.mean(found[2:].argmax(axis=1) == classes[2:]) > 0.9


def test_a_class_without_a_label_is_nobodys():
  found = teacher.opinions([np.eye(6, dtype=np.float32)], np.array([0, 2]), 3, seed=0)
  assert found[:, 1].max() < 0.2


def test_classes_weigh_as_their_labels(columns):
  # 15 labels of one class and 5 of the other, and nothing that tells them apart.
  _, (_, noise) = columns
  labels = np.array([0] * 15 + [1] * 5)
  found = teacher.opinions([np.zeros_like(noise)], labels, 2, seed=0)
  np.testing.assert_allclose(found[20:, 1], 0.25, atol=0.05)


def test_labels_are_all_there_is_to_say_where_every_flow_has_one(columns):
  classes, sources = columns
  found = teacher.opinions(sources, 1 - classes, 2, seed=0)
  np.testing.assert_array_equal(found, np.eye(2)[1 - classes])


def test_sources_are_those_that_are_named(flows):
  inputs = jnp.ones((len(flows), 7))
  whole = teacher.sources(flows, inputs)
  assert [len(columns) for columns in whole] == [len(flows)] * 3
  assert whole[0].shape[1] == 5 and whole[2].shape[1] == 7
  (packets,) = teacher.sources(flows, inputs, ("whole_flows",))
  np.testing.assert_array_equal(packets, whole[1])
