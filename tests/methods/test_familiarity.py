import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from mtl_traffic.errors import InputError
from mtl_traffic.methods import familiarity, forest

# One tree that splits the first column at 0.5, the right side again at 1.5, and a node
# of no tree.
TREE = {
  "roots": jnp.array([0]),
  "features": jnp.array([0, 0, 0, 0, 0, 0]),
  "thresholds": jnp.array([0.5, np.inf, 1.5, np.inf, np.inf, 0]),
  "children": jnp.array([1, 1, 3, 3, 4, 0]),
  "values": jnp.zeros((6, 1)),
}


def flows_of(*columns):
  return np.array(columns, np.float32).T


@pytest.fixture
def ranged(monkeypatch):
  """Two flows left of 0.5, two between 0.5 and 1.5, and a lone one on the right."""
  monkeypatch.setattr(familiarity, "_LEAST_FLOWS", 2)
  inputs = flows_of([0, 0.4, 1, 1.4, 2], [10, 30, 50, 60, 90])
  return familiarity.with_ranges(TREE, inputs)


def test_a_cell_has_the_ranges_of_the_flows_below_it(ranged):
  cells, lows, highs = (np.asarray(ranged[n]) for n in ("cells", "lows", "highs"))
  left, between, right = cells[[1, 3, 4]]
  assert len({left, between, right}) == 3
  np.testing.assert_allclose([lows[left], highs[left]], [[0, 10], [0.4, 30]])
  np.testing.assert_allclose([lows[between], highs[between]], [[1, 50], [1.4, 60]])
  # A lone flow is too few for a cell. Its cell is the parent, which has no other flow.
  np.testing.assert_allclose([lows[right], highs[right]], [[2, 90], [2, 90]])


def test_familiarity_is_the_cube_of_the_share_of_columns_within(ranged):
  asked = flows_of([0.2, 0.2, -1, 2], [10, 31, 0, 90])
  found = familiarity.familiarity(ranged, jnp.asarray(asked))
  np.testing.assert_allclose(found, [1, 1 / 8, 0, 1])


@pytest.fixture(scope="module")
def grown():
  rng = np.random.default_rng(0)
  inputs = rng.normal(size=(500, 6)).astype(np.float32)
  trees = forest.grow(
    ExtraTreesRegressor(12, random_state=0, n_jobs=1), inputs, inputs[:, :2]
  )
  return familiarity.with_ranges(trees, inputs), inputs


def test_training_flows_are_familiar_and_others_less_so(grown):
  trees, inputs = grown
  found = jax.jit(familiarity.familiarity)(trees, inputs)
  np.testing.assert_array_equal(found, 1)
  # Changed in the columns that the trees test least.
  strange = inputs + np.array([0, 0, 0, 0, 4, 4], np.float32)
  assert np.mean(familiarity.familiarity(trees, strange)) < 0.5


def test_cells_are_of_many_flows_unless_their_flows_are_apart(grown):
  trees, inputs = grown
  at = np.asarray(forest.leaves(trees, inputs))[: familiarity._NUM_TREES]
  cells = np.asarray(trees["cells"])[at]
  # 500 flows fill only a few cells of 100 flows.
  for of_tree in cells:
    assert 3 < len(np.unique(of_tree)) < 20
  assert len(trees["lows"]) < 2 * len(np.unique(cells))


@pytest.mark.parametrize(
  "change",
  [
    {"cells": lambda a: a + 10_000},
    {"cells": lambda a: a * 1.5},
    {"cells": lambda a: a[:, 1:]},
    {"lows": lambda a: a * np.nan},
    {"highs": lambda a: a[:, 1:]},
    {"lows": lambda a: a[..., 1:], "highs": lambda a: a[..., 1:]},
  ],
)
def test_ranges_that_do_not_fit_are_refused(grown, change):
  trees, inputs = grown
  run = {name: np.asarray(array)[None] for name, array in trees.items()}
  familiarity.check(run, inputs.shape[1])
  for name, changed in change.items():
    run[name] = changed(run[name])
  with pytest.raises(InputError):
    familiarity.check(run, inputs.shape[1])
