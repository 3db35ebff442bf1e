"""Spreads opinions on the class of training flows among similar flows.

An opinion is a flow's class probabilities. In each round a flow's opinion becomes a
weighted mean of its neighbours' opinions and its own first one: D. Zhou et al.,
Learning with Local and Global Consistency, NIPS 2003. Neighbours are flows that share
leaves of a forest, so they are similar in columns that matter for the class.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse
from sklearn.ensemble import ExtraTreesRegressor

_NUM_TREES = 100
_LEAF_SIZE = 2  # Training flows in a leaf; a flow alone in it has no neighbour.
_SHARE_OF_COLUMNS = 0.3  # Share of the columns that a split may use.
_ROUNDS = 8  # Opinions have converged by then.
# With this many labels per class, neighbours and a flow's own opinion weigh the same.
# With one label per class nearly only the neighbours count, with a hundred hardly.
_LABELS_OF_NEIGHBOURS = 10
_LEAST_SHARE = 1e-30  # Avoids a division by 0.


def propagated(
  columns: np.ndarray, opinions: np.ndarray, labels: np.ndarray, seed: int
) -> np.ndarray:
  """Returns the opinions on T flows after they have spread, `[T, C]`.

  Args:
    columns: `[T, F]`, all columns of the flows.
    opinions: `[T, C]` probabilities. Labelled flows come first and keep theirs.
    labels: `[L]` int, the classes of the labelled flows.
    seed: the random seed of the forest.
  """
  means = neighbour_means(*_grow(columns, weighed(opinions, labels), seed))
  per_class = len(labels) / len(np.unique(labels))
  own_part = per_class / (per_class + _LABELS_OF_NEIGHBOURS)
  heard = opinions
  for _ in range(_ROUNDS):
    said = means(weighed(heard, labels))
    total = np.sum(said, axis=1, keepdims=True)
    # A flow without neighbours keeps its own opinion.
    said = np.where(total > 0, said / np.maximum(total, _LEAST_SHARE), opinions)
    heard = own_part * opinions + (1 - own_part) * said
    heard[: len(labels)] = opinions[: len(labels)]
  return heard


def weighed(opinions: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Rescales opinions `[T, C]` so that a class's share is its share of the labels.

  Classes with equally many labels get equal weight, however many flows they have.

  Args:
    opinions: `[T, C]` probabilities.
    labels: `[L]` int.
  """
  shares = np.bincount(labels, minlength=opinions.shape[1]) / len(labels)
  return opinions * shares / np.maximum(np.sum(opinions, axis=0), _LEAST_SHARE)


def neighbour_means(
  leaves: np.ndarray, drawn: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
  """Makes a function from values of T flows `[T, C]` to means over their neighbours.

  Only trees that were not trained on a flow count. The flow's neighbours are the
  training flows of its leaves in these trees, so no flow is its own neighbour. If all
  trees were trained on a flow, its mean is 0.

  Args:
    leaves: `[T, trees]` int, the leaf of each flow in each tree.
    drawn: `[T, trees]` int, how often each flow is in a tree's bootstrap sample.
  """
  num_flows, num_trees = leaves.shape
  # Numbers the leaves of all trees.
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
  """Fits a forest to opinions; returns its leaves, and its trees' bootstrap samples."""
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
