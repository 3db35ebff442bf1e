import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import splits
from mtl_traffic.errors import InputError

CLASSES = jnp.array([0] * 20 + [1] * 12 + [-1] * 5 + [1] * 4)
ELIGIBLE = jnp.arange(41) < 37  # The last four flows belong to another partition.
SIZES = {"test_per_class": 4, "validation_per_class": 3}


def _split(seed: int = 0) -> splits.Split:
  return splits.draw_split(jax.random.key(seed), CLASSES, ELIGIBLE, **SIZES)


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
    lambda s: splits.draw_split(jax.random.key(s), CLASSES, ELIGIBLE, **SIZES).test
  )(seeds)
  rate = np.asarray(test.mean(axis=0))
  np.testing.assert_allclose(rate[:20], 4 / 20, atol=0.06)
  np.testing.assert_allclose(rate[20:32], 4 / 12, atol=0.08)
  assert not rate[32:].any()


def test_every_class_of_too_few_flows_is_named():
  arguments = (("x", "y", "z"), (20, 12, 0))
  splits.check_sizes(("x", "y"), (20, 12), **SIZES, labels_per_class=5)
  with pytest.raises(
    InputError, match="flows: 'z' has 0; of each class 4 test, 3 validation"
  ):
    splits.check_sizes(*arguments, **SIZES, labels_per_class=5)
  with pytest.raises(InputError, match=r"'y' has 12, 'z' has 0; .* 6 labelled"):
    splits.check_sizes(*arguments, **SIZES, labels_per_class=6)
