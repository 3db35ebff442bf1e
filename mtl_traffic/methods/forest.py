"""Forests as plain arrays: grown by scikit-learn, evaluated in JAX.

The arrays can be stored in any format, run no code when they are loaded, and are
exported with the rest of a model.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator

from mtl_traffic.errors import InputError

# Steps that all walks make before the few that have not ended are gathered.
_STEPS_OF_ALL, _STEPS_OF_FEW, _FEW = 20, 10, 4
_BLOCK = 2048  # Flows whose walks are in memory together.


# T trees with M nodes in all, as arrays by name. The last nodes are padding.
#   "roots": `[T]` int32.
#   "features": `[M]` int32, the input that a node tests.
#   "thresholds": `[M]` float32: a flow goes to the first child if the input is at most
#     this, else to the second; infinite at leaves.
#   "children": `[M]` int32, the first child; the second is the next node. A leaf is its
#     own child.
#   "values": `[M, V]` float32, the prediction at each leaf; or a pytree of such arrays.
Forest = Mapping[str, Any]


def grow(
  estimator: BaseEstimator,
  inputs: np.ndarray,
  targets: np.ndarray,
  num_classes: int | None = None,
) -> Forest:
  """Fits a scikit-learn forest and converts its trees.

  Args:
    estimator: a random forest or extra trees.
    inputs: `[N, F]` float32.
    targets: `[N]` int classes, or `[N, V]` values for a regressor.
    num_classes: for a classifier, the number of classes. Values are
      `[M, num_classes]`, even if a class is missing in the targets.

  Returns:
    The forest. Its values are class probabilities, or means of targets.
  """
  # The threads of the trees change Python's warning filters, and together may leave
  # them empty; scikit-learn then warns at every tree.
  with warnings.catch_warnings():
    estimator.fit(inputs, targets)
  trees = [_tree(tree.tree_) for tree in estimator.estimators_]
  sizes = [len(features) for features, *_ in trees]
  roots = np.cumsum([0, *sizes[:-1]])
  children = [child + root for root, (_, _, child, _) in zip(roots, trees, strict=True)]
  # Padded to a few sizes, so that few programs are compiled for many forests.
  missing = 2 ** math.ceil(math.log2(sum(sizes))) - sum(sizes)

  def joined(arrays, dtype) -> np.ndarray:
    whole = np.concatenate([*arrays])
    return np.pad(whole, [(0, missing)] + [(0, 0)] * (whole.ndim - 1)).astype(dtype)

  values = joined((tree[3] for tree in trees), np.float32)
  if num_classes is not None:
    of_all = np.zeros((len(values), num_classes), np.float32)
    of_all[:, estimator.classes_] = values
    values = of_all
  arrays = {
    "roots": roots.astype(np.int32),
    "features": joined((tree[0] for tree in trees), np.int32),
    "thresholds": joined((tree[1] for tree in trees), np.float32),
    "children": joined(children, np.int32),
    "values": values,
  }
  return {name: jnp.asarray(array) for name, array in arrays.items()}


def leaves(forest: Forest, inputs: jax.Array) -> jax.Array:
  """The leaf that each flow reaches in each tree, `[T, N]` int32.

  Args:
    forest: the trees.
    inputs: `[N, F]` float32.
  """
  forest, inputs = jax.tree.map(jnp.asarray, (forest, inputs))
  num_flows, num_inputs = inputs.shape
  shape = len(forest["roots"]), num_flows
  num_walks = math.prod(shape)
  values = inputs.ravel()
  rows = jnp.broadcast_to(num_inputs * jnp.arange(num_flows), shape).ravel()
  roots = jnp.broadcast_to(forest["roots"][:, None], shape).ravel()

  def walk(nodes: jax.Array, rows: jax.Array, steps: int) -> jax.Array:
    def step(_, nodes):
      goes_on = values[rows + forest["features"][nodes]] > forest["thresholds"][nodes]
      return forest["children"][nodes] + goes_on

    return jax.lax.fori_loop(0, steps, step, nodes)

  # Most walks end early; the longest takes three times as many steps as the mean.
  def walk_few(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    nodes, are_on = state
    (few,) = jnp.nonzero(are_on, size=-(-num_walks // _FEW), fill_value=num_walks)
    moved = walk(nodes[few], rows[few], _STEPS_OF_FEW)
    nodes = nodes.at[few].set(moved, mode="drop")
    return nodes, are_within(nodes)

  def are_within(nodes: jax.Array) -> jax.Array:
    return forest["thresholds"][nodes] < jnp.inf

  nodes = walk(roots, rows, _STEPS_OF_ALL)
  nodes, _ = jax.lax.while_loop(
    lambda state: jnp.any(state[1]), walk_few, (nodes, are_within(nodes))
  )
  return nodes.reshape(shape)


def answer(forest: Forest, inputs: jax.Array) -> Any:
  """The mean prediction of the trees, `[N, V]`, or a pytree like their values."""
  at = leaves(forest, inputs)
  return jax.tree.map(lambda values: jnp.mean(values[at], axis=0), forest["values"])


def with_means(forest: Forest, inputs: np.ndarray, values: Any) -> Forest:
  """Replaces the values of a forest: each leaf gets the mean value of its flows.

  Args:
    forest: the trees.
    inputs: `[N, F]` float32, the flows that have values.
    values: `[N, V]`, or a pytree of such arrays. Leaves that no flow reaches get 0.
  """
  at = in_blocks(leaves, forest, inputs, axis=1)
  num_nodes = len(forest["features"])
  counts = np.maximum(np.bincount(at.ravel(), minlength=num_nodes), 1)

  def means(values: np.ndarray) -> np.ndarray:
    sums = [
      np.bincount(at.ravel(), np.broadcast_to(column, at.shape).ravel(), num_nodes)
      for column in values.T
    ]
    return jnp.asarray(np.stack(sums, axis=1) / counts[:, None], jnp.float32)

  return {**forest, "values": jax.tree.map(means, values)}


def check(forests: Forest, num_inputs: int) -> None:
  """Raises an InputError if a forest from an untrusted source is invalid.

  In a valid forest every walk ends at a leaf.

  Args:
    forests: R forests, R as leading axis.
    num_inputs: F.
  """
  roots, features, thresholds, children = (
    np.asarray(forests[name])
    for name in ("roots", "features", "thresholds", "children")
  )
  num_nodes = features.shape[1]
  if thresholds.shape != features.shape or children.shape != features.shape:
    raise InputError("the arrays of a forest differ in length")
  if any(array.dtype.kind not in "iu" for array in (roots, features, children)):
    raise InputError("a forest's roots, features or children are not whole numbers")
  nodes = np.arange(num_nodes)
  is_leaf = (thresholds == np.inf) & (children == nodes)
  # Children must come after their parent, so that no walk visits a node twice.
  is_inner = (thresholds < np.inf) & (children > nodes) & (children < num_nodes - 1)
  is_sound = (is_leaf | is_inner) & (features >= 0) & (features < num_inputs)
  for run in range(len(features)):
    inner = children[run, is_inner[run]]
    reached = np.concatenate([roots[run], inner, inner + 1])
    within = (reached >= 0) & (reached < num_nodes)
    if not within.all() or not is_sound[run, reached].all():
      raise InputError("a forest has a node that leads nowhere")
  for values in jax.tree.leaves(forests["values"]):
    if np.shape(values)[1] != num_nodes or not np.isfinite(np.asarray(values)).all():
      raise InputError("a forest has an answer that is not finite")


def in_blocks(
  function: Callable, forest: Forest, inputs: np.ndarray, axis: int = 0
) -> np.ndarray:
  """Applies a function of a forest and inputs `[N, F]` to blocks of flows.

  Args:
    function: `leaves`, `answer` or a similar function.
    forest: its first argument.
    inputs: its second argument.
    axis: the axis of the flows in the function's results.
  """
  jitted = jax.jit(function)
  parts = [
    np.asarray(jitted(forest, jnp.asarray(inputs[start : start + _BLOCK], jnp.float32)))
    for start in range(0, len(inputs), _BLOCK)
  ]
  return np.concatenate(parts, axis=axis)


def seed_of(key: jax.Array) -> int:
  """Derives a seed for scikit-learn from a random key."""
  return int(jax.random.bits(key) >> 1)


def _tree(tree) -> tuple[np.ndarray, ...]:
  """Features, thresholds, children and values of a tree, with nodes in level order."""
  levels = [np.array([0])]
  while True:
    inner = levels[-1][tree.children_left[levels[-1]] >= 0]
    if not inner.size:
      break
    both = np.stack([tree.children_left[inner], tree.children_right[inner]], axis=1)
    levels.append(both.ravel())
  order = np.concatenate(levels)
  place = np.empty(len(order), np.int64)
  place[order] = np.arange(len(order))
  first = tree.children_left[order]
  is_leaf = first < 0
  # A float32 x has x ≤ t for a float64 t exactly if x ≤ t rounded down to float32.
  exact = tree.threshold[order]
  rounded = exact.astype(np.float32)
  rounded = np.where(
    rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded
  )
  return (
    np.where(is_leaf, 0, tree.feature[order]),
    np.where(is_leaf, np.float32(np.inf), rounded),
    np.where(is_leaf, np.arange(len(order)), place[np.maximum(first, 0)]),
    # A classifier has [nodes, 1, classes], a regressor [nodes, outputs, 1].
    tree.value[order].reshape(len(order), -1),
  )
