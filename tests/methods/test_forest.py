import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import (
  ExtraTreesClassifier,
  ExtraTreesRegressor,
  RandomForestClassifier,
  RandomForestRegressor,
)

from mtl_traffic.methods import forest

SETTINGS = {"n_estimators": 12, "random_state": 0}
# Two trees of one split each, and a node of no tree.
BY_HAND = {
  "roots": jnp.array([0, 3]),
  "features": jnp.array([0, 0, 0, 1, 0, 0, 0]),
  "thresholds": jnp.array([0.5, np.inf, np.inf, 5, np.inf, np.inf, 0]),
  "children": jnp.array([1, 1, 2, 4, 4, 5, 0]),
  "values": jnp.array([[0.0], [1], [2], [0], [10], [20], [0]]),
}


def _inputs(num_flows, num_inputs=5, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num_flows, num_inputs)).astype(np.float32)


def _assert_same_leaves(grown, estimator, inputs):
  """Ours are counted otherwise, but the same flows share them."""
  ours, theirs = np.asarray(forest.leaves(grown, inputs)), estimator.apply(inputs).T
  for left, right in zip(ours, theirs, strict=True):
    pairs = set(zip(left.tolist(), right.tolist(), strict=True))
    assert len(pairs) == len(set(left.tolist())) == len(set(right.tolist()))


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
def test_classifiers_answer_as_scikit_learns(kind):
  inputs, asked = _inputs(300), _inputs(500, seed=1)
  targets = (inputs[:, 0] > 0) + 2 * (inputs[:, 1] * inputs[:, 2] > 0)
  estimator = kind(**SETTINGS)
  grown = forest.grow(estimator, inputs, targets, 4)
  _assert_same_leaves(grown, estimator, asked)
  answers = forest.answer(grown, asked)
  np.testing.assert_allclose(answers, estimator.predict_proba(asked), atol=1e-6)


@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesRegressor])
def test_regressors_answer_as_scikit_learns(kind):
  inputs, asked = _inputs(300), _inputs(500, seed=1)
  targets = np.stack([inputs[:, 0], np.sin(inputs[:, 1])], axis=1)
  estimator = kind(**SETTINGS, min_samples_leaf=2)
  grown = forest.grow(estimator, inputs, targets)
  _assert_same_leaves(grown, estimator, asked)
  answers = forest.answer(grown, asked)
  np.testing.assert_allclose(answers, estimator.predict(asked), atol=1e-6)


def test_a_class_that_was_never_seen_has_no_probability():
  inputs = _inputs(60)
  estimator = RandomForestClassifier(**SETTINGS)
  grown = forest.grow(estimator, inputs, np.where(inputs[:, 0] > 0, 3, 1), 5)
  answers = np.asarray(forest.answer(grown, inputs))
  assert answers.shape == (60, 5)
  np.testing.assert_allclose(
    answers[:, [1, 3]], estimator.predict_proba(inputs), atol=1e-6
  )
  assert not answers[:, [0, 2, 4]].any()


def test_thresholds_that_a_float32_cannot_hold_part_the_flows_that_they_parted():
  # Neighbours among float32, of different classes: thresholds lie between the two.
  lower = np.random.default_rng(0).uniform(1000, 2000, 200).astype(np.float32)
  upper = np.nextafter(lower, np.float32(np.inf))
  inputs = np.concatenate([lower, upper])[:, None]
  targets = np.repeat([0, 1], 200)
  estimator = RandomForestClassifier(1, bootstrap=False, random_state=0)
  grown = forest.grow(estimator, inputs, targets, 2)
  exact = estimator.estimators_[0].tree_.threshold
  assert (exact.astype(np.float32) > exact).any()  # As they would be rounded.
  _assert_same_leaves(grown, estimator, inputs)
  np.testing.assert_array_equal(
    np.argmax(forest.answer(grown, inputs), axis=1), targets
  )


def test_a_value_on_a_threshold_goes_to_the_first_child():
  inputs = np.array([[0.0], [2.0]], np.float32)
  estimator = RandomForestClassifier(1, bootstrap=False)
  grown = forest.grow(estimator, inputs, np.array([0, 1]), 2)
  assert estimator.estimators_[0].tree_.threshold[0] == 1
  asked = np.array([[1.0], [np.nextafter(np.float32(1), np.float32(2))]], np.float32)
  np.testing.assert_array_equal(forest.answer(grown, asked), np.eye(2))
  np.testing.assert_array_equal(estimator.predict_proba(asked), np.eye(2))


@pytest.mark.parametrize("in_front", [0, 5000])
def test_trees_deeper_than_all_walks_go_together(in_front):
  # Each value is so much above those before it that it is split off alone.
  inputs = np.arange(60, dtype=np.float32)[:, None]
  estimator = RandomForestRegressor(2, bootstrap=False, random_state=0)
  targets = np.stack([4.0 ** np.arange(60), np.ones(60)], axis=1)
  grown = forest.grow(estimator, inputs, targets)
  assert estimator.estimators_[0].get_depth() > 45
  # Of all walks few or most go on.
  asked = np.concatenate([np.full((in_front, 1), 59, np.float32), inputs])
  _assert_same_leaves(grown, estimator, asked)
  np.testing.assert_allclose(
    forest.answer(grown, asked), estimator.predict(asked), rtol=1e-6
  )


def test_a_forest_can_be_mapped_and_jitted():
  inputs = _inputs(200)
  estimator = RandomForestClassifier(**SETTINGS)
  grown = forest.grow(estimator, inputs, (inputs[:, 0] > 0).astype(int), 2)
  expected = estimator.predict_proba(inputs)
  one = jax.vmap(lambda flow: forest.answer(grown, flow[None])[0])
  np.testing.assert_allclose(jax.jit(one)(inputs), expected, atol=1e-6)


def test_sizes_are_powers_of_two():
  sizes = set()
  for num_flows in (20, 21, 22, 300):
    estimator = RandomForestClassifier(**SETTINGS)
    inputs = _inputs(num_flows)
    grown = forest.grow(estimator, inputs, np.arange(num_flows) % 2, 2)
    (size,) = {len(leaf) for name, leaf in grown.items() if name != "roots"}
    needed = sum(tree.tree_.node_count for tree in estimator.estimators_)
    assert needed <= size < 2 * needed
    assert size & (size - 1) == 0
    sizes.add(size)
  assert len(sizes) < 4


def test_leaves_and_answers_by_hand():
  asked = jnp.array([[0.5, 9], [0.6, 5], [7, 6]])
  np.testing.assert_array_equal(forest.leaves(BY_HAND, asked), [[1, 2, 2], [5, 4, 5]])
  np.testing.assert_array_equal(
    forest.answer(BY_HAND, asked), [[21 / 2], [12 / 2], [22 / 2]]
  )


def test_means_of_the_flows_in_a_leaf_by_hand():
  inputs = np.array([[0, 0], [1, 0], [1, 1]], np.float32)
  values = {
    "x": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
    "y": np.array([[3.0], [6.0], [9.0]]),
  }
  grown = forest.with_means(BY_HAND, inputs, values)
  # The first flow is alone; the second tree has them all in one leaf.
  asked = jnp.array([[0.0, 0], [1, 0], [0, 9]])
  answers = forest.answer(grown, asked)
  np.testing.assert_allclose(
    answers["x"],
    [[(1 + 1 / 3) / 2, (0 + 2 / 3) / 2], [1 / 6, (1 + 2 / 3) / 2], [1 / 2, 0]],
    rtol=1e-6,
  )
  np.testing.assert_allclose(answers["y"], [[4.5], [6.75], [1.5]])


def test_blocks_make_no_difference(monkeypatch):
  asked = np.array([[0.5, 9], [0.6, 5], [7, 6]], np.float32)
  whole = [np.asarray(f(BY_HAND, asked)) for f in (forest.answer, forest.leaves)]
  monkeypatch.setattr(forest, "_BLOCK", 2)
  np.testing.assert_array_equal(
    forest.in_blocks(forest.answer, BY_HAND, asked), whole[0]
  )
  np.testing.assert_array_equal(
    forest.in_blocks(forest.leaves, BY_HAND, asked, axis=1), whole[1]
  )


def test_seeds_follow_from_keys():
  keys = jax.random.split(jax.random.key(0), 20)
  seeds = [forest.seed_of(key) for key in keys]
  assert len(set(seeds)) == 20
  assert all(0 <= seed < 2**32 for seed in seeds)
  assert seeds == [forest.seed_of(key) for key in keys]
