import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import splits
from mtl_traffic.errors import InputError

CLASSES = jnp.array([0] * 20 + [1] * 12 + [-1] * 5 + [1] * 4)
ELIGIBLE = jnp.arange(41) < 37  # The last four flows belong to another partition.
SIZES = {"test_per_class": 4, "validation_per_class": 3}
PARTS = {"test": (4, 4), "validation": (3, 3)}


def _split(seed: int = 0) -> splits.Split:
  return splits.draw_split(jax.random.key(seed), CLASSES, ELIGIBLE, **PARTS)


def test_split_is_stratified_and_complete():
  split = _split()
  for mask, size in ((split.test, 4), (split.validation, 3)):
    counts = [int(jnp.sum(mask & (CLASSES == c))) for c in (0, 1)]
    assert counts == [size, size]
  parts = np.stack([split.test, split.validation, split.train])
  np.testing.assert_array_equal(parts.sum(axis=0), np.asarray(ELIGIBLE).astype(int))
  assert bool(jnp.all(split.train[CLASSES == -1]))


def test_labels_are_as_many_as_asked_for_and_nested():
  split = _split()
  few = splits.labelled(split, CLASSES, 2)
  more = splits.labelled(split, CLASSES, 5)
  assert [int(jnp.sum(few & (CLASSES == c))) for c in (0, 1, -1)] == [2, 2, 0]
  assert [int(jnp.sum(more & (CLASSES == c))) for c in (0, 1, -1)] == [5, 5, 0]
  assert bool(jnp.all(more | ~few))
  assert bool(jnp.all(split.train | ~more))


def test_all_labels_are_those_of_the_training_flows_with_a_known_class():
  split = _split()
  everything = splits.labelled(split, CLASSES, np.iinfo(np.int32).max)
  np.testing.assert_array_equal(everything, split.train & (CLASSES >= 0))


def test_seeds_draw_different_splits_and_the_same_seed_the_same():
  assert bool(jnp.any(_split(0).test != _split(1).test))
  np.testing.assert_array_equal(_split(3).label_rank, _split(3).label_rank)


def test_every_flow_is_as_likely_to_test():
  seeds = jnp.arange(600)
  test = jax.vmap(
    lambda s: splits.draw_split(jax.random.key(s), CLASSES, ELIGIBLE, **PARTS).test
  )(seeds)
  rate = np.asarray(test.mean(axis=0))
  np.testing.assert_allclose(rate[:20], 4 / 20, atol=0.06)
  np.testing.assert_allclose(rate[20:32], 4 / 12, atol=0.08)
  assert not rate[32:].any()


def test_every_class_of_too_few_flows_is_named():
  arguments = (("x", "y", "z"), (20, 12, 0))
  splits.check_sizes(("x", "y"), (20, 12), **SIZES, train_per_class=5)
  with pytest.raises(InputError, match="flows: 'z' has 0; of each class 4 test, 3 val"):
    splits.check_sizes(*arguments, **SIZES, train_per_class=5)
  with pytest.raises(InputError, match=r"'y' has 12, 'z' has 0; .* 6 training"):
    splits.check_sizes(*arguments, **SIZES, train_per_class=6)
  shares = {"test_per_class": 0.2, "validation_per_class": 0}
  splits.check_sizes(*arguments, **shares, train_per_class=1)


def test_shares_are_of_each_class_and_leave_a_flow_to_train():
  test, validation = splits.sizes((1854, 10, 3, 2, 1, 0), 0.2, 0.3)
  assert test == (371, 2, 1, 1, 0, 0)
  assert validation == (556, 3, 1, 0, 0, 0)
  assert splits.sizes((9, 4), 5, 0) == ((5, 5), (0, 0))
  assert splits.sizes((5, 5), 0.99, 0.5) == ((4, 4), (0, 0))


def test_all_flows_but_so_many_test_and_none_of_a_class_that_has_no_more():
  assert splits.sizes((150, 100, 7), -100, 0) == ((50, 0, 0), (0, 0, 0))
  # Of the 100 that are left, 80 train.
  assert splits.sizes((150,), -100, -80) == splits.sizes((150,), -100, 20)
  splits.check_sizes(
    ("x",), (7,), test_per_class=-100, validation_per_class=0, train_per_class=1
  )
  with pytest.raises(InputError, match="all but 100 test, 20 validation and 0 train"):
    splits.check_sizes(("x",), (7,), test_per_class=-100, validation_per_class=20)


# Six groups of class 0, two of class 1, one of class 2, and one without a class.
GROUPED = np.repeat([0, 0, 0, 0, 0, 0, 1, 1, 2, -1], [3, 5, 2, 4, 3, 3, 6, 2, 9, 4])
NAMES = np.repeat(list("abcdefghij"), [3, 5, 2, 4, 3, 3, 6, 2, 9, 4])


def _grouped(seed):
  everything = np.ones(len(GROUPED), bool)
  return splits.draw_group_split(
    jax.random.key(seed),
    jnp.asarray(GROUPED),
    jnp.asarray(everything),
    splits.groups_of(NAMES, GROUPED, everything),
    test=(4, 1, 2),
    validation=(4, 1, 2),
  )


def test_groups_go_whole_to_one_side():
  for seed in range(10):
    split = _grouped(seed)
    parts = np.stack([split.test, split.validation, split.train])
    np.testing.assert_array_equal(parts.sum(axis=0), 1)
    for name in "abcdefghij":
      of_group = parts[:, NAMES == name]
      assert (of_group == of_group[:, :1]).all()
    counts = np.array([[np.sum(p & (GROUPED == c)) for c in (0, 1, 2)] for p in parts])
    # Of six groups each side has some, of two none validates, a single one trains.
    assert (counts[:, 0] > 0).all() and counts[0, 0] <= 9
    assert counts[1, 1] == 0 and set(counts[[0, 2], 1]) == {6, 2}
    assert counts[:, 2].tolist() == [0, 0, 9]
    assert parts[2, GROUPED == -1].all()
    ranks = np.asarray(split.label_rank)[parts[2] & (GROUPED == 0)]
    assert sorted(ranks) == list(range(len(ranks)))
  tested = np.mean([_grouped(seed).test for seed in range(60)], axis=0)
  assert (tested[GROUPED < 0] == 0).all() and (tested[GROUPED == 2] == 0).all()
  assert (np.abs(tested[GROUPED == 0] - 0.18) < 0.17).all()
  assert (np.abs(tested[GROUPED == 1] - 0.5) < 0.25).all()


def test_a_group_is_of_the_class_that_most_of_its_flows_have():
  classes = np.array([0, 1, 1, -1, -1, 0, 0])
  eligible = np.array([True] * 6 + [False])
  groups = splits.groups_of(np.array(list("xxxxyzy")), classes, eligible)
  assert groups.of_flows.tolist() == [0, 0, 0, 0, 1, 2, 1]
  assert groups.classes.tolist() == [1, -1, 0]
  assert groups.sizes.tolist() == [3, 0, 1]
