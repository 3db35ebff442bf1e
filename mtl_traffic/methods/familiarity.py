"""Measures how similar a flow is to the training flows of a forest.

A tree also sends a flow of an unknown class to one of its leaves. But such a flow
differs from that leaf's training flows in columns that the tree did not test. So the
ranges of all columns are stored for cells of a few trees. A cell is a node with the
training flows that end below it.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic.errors import InputError
from mtl_traffic.methods import forest
from mtl_traffic.methods.forest import Forest

_NUM_TREES = 5  # Ten take twice the time and memory, and detect hardly more.
_LEAST_FLOWS = 100  # Flows in a cell; ranges of fewer flows are unreliable.
# If 3 % of the columns are out of range, a flow is 9 % less familiar.
_POWER = 3


def with_ranges(trees: Forest, inputs: np.ndarray) -> Forest:
  """Adds the ranges of the training flows' columns to a forest.

  Args:
    trees: the forest.
    inputs: `[N, F]` float32, the training flows.

  Returns:
    The forest with "cells", `[M]` int32, the cell of each leaf of the first trees; and
    "lows" and "highs", `[cells, F]` float32, the range of each column.
  """
  at = forest.in_blocks(forest.leaves, trees, inputs, axis=1)[:_NUM_TREES]
  cells = _cells(trees, at)
  used, index = np.unique(cells[at], return_inverse=True)
  # Padded to a few sizes, so that few programs are compiled for many forests.
  shape = 1 << math.ceil(math.log2(len(used))), inputs.shape[1]
  lows, highs = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)
  for of_tree in index.reshape(at.shape):
    np.minimum.at(lows, of_tree, inputs)
    np.maximum.at(highs, of_tree, inputs)
  lows[len(used) :] = highs[len(used) :] = 0
  # Cells in which no training flow ends get arbitrary ranges.
  of_leaves = np.searchsorted(used, cells) % len(used)
  ranges = {"cells": of_leaves.astype(np.int32), "lows": lows, "highs": highs}
  return {**trees, **{name: jnp.asarray(array) for name, array in ranges.items()}}


def familiarity(trees: Forest, inputs: jax.Array) -> jax.Array:
  """How familiar N flows are, `[N]` float32: 0 = not at all, 1 = like training flows.

  Args:
    trees: a forest with ranges.
    inputs: `[N, F]` float32.
  """
  # Walks through all trees: `forest.answer` has the same walks, and XLA merges them if
  # both are in one program.
  cells = trees["cells"][forest.leaves(trees, inputs)[:_NUM_TREES]]
  within = (inputs >= trees["lows"][cells]) & (inputs <= trees["highs"][cells])
  return jnp.mean(within, axis=(0, 2), dtype=jnp.float32) ** _POWER


def check(trees: Forest, num_inputs: int) -> None:
  """Raises an InputError if ranges from an untrusted source do not fit their forests.

  Args:
    trees: R forests, R as leading axis.
    num_inputs: F.
  """
  lows, highs = np.asarray(trees["lows"]), np.asarray(trees["highs"])
  cells = np.asarray(trees["cells"])
  if lows.shape != highs.shape or lows.shape[2:] != (num_inputs,):
    raise InputError("the ranges of a forest have the wrong shape")
  if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
    raise InputError("the ranges of a forest are not finite")
  if cells.shape != np.shape(trees["features"]) or cells.dtype.kind not in "iu":
    raise InputError("a forest must have one cell, a whole number, per node")
  if not ((cells >= 0) & (cells < lows.shape[1])).all():
    raise InputError("a forest has a node without a cell")


def _cells(trees: Forest, at: np.ndarray) -> np.ndarray:
  """The cell of each node, `[M]`: the node itself, or else its nearest large ancestor.

  A node is large enough if `_LEAST_FLOWS` training flows end below it.

  Args:
    trees: the forest.
    at: `[T, N]`, the leaves of the training flows in the first trees.
  """
  children = np.asarray(trees["children"])
  counts = np.bincount(at.ravel(), minlength=len(children))
  inner = np.flatnonzero(np.isfinite(trees["thresholds"])[: at.max() + 1]).tolist()
  for node in reversed(inner):  # Children come after their parent.
    counts[node] = counts[children[node] : children[node] + 2].sum()
  cells = np.arange(len(children))
  for node in inner:
    for child in (children[node], children[node] + 1):
      if counts[child] < _LEAST_FLOWS:
        cells[child] = cells[node]
  return cells
