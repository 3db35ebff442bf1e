"""Opinions on the class of training flows, after flows that are alike have heard them.

Neighbours tell each other what they think, again and again, and each holds on to its
first opinion: D. Zhou et al., Learning with Local and Global Consistency, NIPS 2003.
Whose neighbour a flow is, a forest tells: those that share leaves are alike in what
bears on the class.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse
from sklearn.ensemble import ExtraTreesRegressor

_NUM_TREES = 100
_LEAF_SIZE = 2  # Training flows: a flow alone in its leaf has no neighbour.
_SHARE_OF_COLUMNS = 0.3  # Looked at for a split.
_ROUNDS = 8  # By then opinions have settled.
# What neighbours say weighs as much as an opinion from so many labels a class. At one
# label a class they are nearly all that counts, at a hundred hardly anything.
_LABELS_OF_NEIGHBOURS = 10
_LEAST_SHARE = 1e-30  # Against dividing by 0.


def propagated(
  columns: np.ndarray, opinions: np.ndarray, labels: np.ndarray, seed: int
) -> np.ndarray:
  """The opinions on T flows after flows that are alike have heard them, `[T, C]`.

  Args:
    columns: `[T, F]`, all that is known of the flows.
    opinions: `[T, C]` probabilities; the labelled flows come first, and keep theirs.
    labels: `[L]` int, the classes of the labelled flows.
    seed: of the forest.
  """
  means = neighbour_means(*_grow(columns, weighed(opinions, labels), seed))
  per_class = len(labels) / len(np.unique(labels))
  own_part = per_class / (per_class + _LABELS_OF_NEIGHBOURS)
  heard = opinions
  for _ in range(_ROUNDS):
    said = means(weighed(heard, labels))
    total = np.sum(said, axis=1, keepdims=True)
    # Whoever has no neighbours stays with its own opinion.
    said = np.where(total > 0, said / np.maximum(total, _LEAST_SHARE), opinions)
    heard = own_part * opinions + (1 - own_part) * said
    heard[: len(labels)] = opinions[: len(labels)]
  return heard


def weighed(opinions: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Opinions `[T, C]` in which a class weighs as its labels, all together 1.

  Classes of as many labels weigh alike, however many flows are of them.

  Args:
    opinions: `[T, C]` probabilities.
    labels: `[L]` int.
  """
  shares = np.bincount(labels, minlength=opinions.shape[1]) / len(labels)
  return opinions * shares / np.maximum(np.sum(opinions, axis=0), _LEAST_SHARE)


def neighbour_means(
  leaves: np.ndarray, drawn: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
  """A function from values of T flows `[T, C]` to the means of their neighbours.

  The neighbours of a flow are the flows that its leaves are made of, in the trees that
  did not learn from it: so no flow hears itself. A flow that all trees learnt from
  hears 0.

  Args:
    leaves: `[T, trees]` int, the leaf of each tree that a flow falls into.
    drawn: `[T, trees]` int, how many times a tree learnt from a flow.
  """
  num_flows, num_trees = leaves.shape
  # Every leaf of every tree has a number of its own.
  sizes = np.max(leaves, axis=0) + 1
  numbers = (leaves + np.cumsum(sizes) - sizes).ravel()
  flows = np.repeat(np.arange(num_flows), num_trees)

  def flows_by_leaves(values: np.ndarray) -> sparse.csr_array:
    shape = num_flows, int(np.sum(sizes))
    matrix = sparse.csr_array((values.ravel().astype(float), (flows, numbers)), shape)
    matrix.eliminate_zeros()
    return matrix

  made_of, asks = flows_by_leaves(drawn).T.tocsr(), flows_by_leaves(drawn == 0)
  in_leaf = np.maximum(made_of.sum(axis=1), 1)[:, None]
  num_asked = np.maximum(asks.sum(axis=1), 1)[:, None]
  return lambda values: asks @ (made_of @ values / in_leaf) / num_asked


def _grow(
  columns: np.ndarray, opinions: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """The leaves of a forest that learns opinions, and what its trees learnt from."""
  forest = ExtraTreesRegressor(
    _NUM_TREES,
    min_samples_leaf=_LEAF_SIZE,
    max_features=_SHARE_OF_COLUMNS,
    bootstrap=True,
    random_state=seed,
    n_jobs=-1,
  ).fit(columns, opinions)
  drawn = [
    np.bincount(sample, minlength=len(columns)) for sample in forest.estimators_samples_
  ]
  return forest.apply(columns), np.stack(drawn, axis=1)
