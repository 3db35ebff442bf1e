"""Labels that reach unlabelled flows by their bandwidth and duration, over forests.

The paper's idea, that bandwidth and duration of unlabelled flows teach what bears on
the class, with trees: applications send packets of exact sizes, which a threshold on a
length finds and a convolution blurs.

1. A forest learns the class from the bandwidth and duration of the labelled flows. As
   these two are known of every training flow, each gets an opinion on its class.
2. A forest learns bandwidth and duration from the first packets of all training flows.
   A new flow is in the same leaves as training flows of about its bandwidth and
   duration; their opinions, averaged, are one on its class.
3. A forest learns the class from the first packets of the labelled flows: a second
   opinion. The two are multiplied.
"""

import functools
import operator
import warnings
from collections.abc import Callable, Sequence

import jax
import numpy as np
from scipy import sparse, stats
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from mtl_traffic import encoding
from mtl_traffic.draws import Draw
from mtl_traffic.flows import Packets
from mtl_traffic.study import Method, Study
from mtl_traffic.tasks import MAIN_TASKS, TASKS

# What can be left out, to see what it contributes.
PARTS = ("length_counts", "unlabelled_flows", "labelled_packets")
_NUM_TREES = 200
_LEAF_SIZE = 2  # Training flows: a leaf of one would repeat the training set.
_DOUBT = 0.02  # Of an opinion: none excludes a class.


def features(packets: Packets, k: int, counted: bool = True) -> np.ndarray:
  """The first k packets of each flow as columns for trees, `[N, F]` float32.

  Direction × length and logarithmic inter-arrival time of each packet; then the
  `encoding.length_counts` of the first sixth, half, and all of them.

  Args:
    packets: the first packets of N flows; no more than k of each are looked at.
    k: packets.
    counted: whether lengths are counted.
  """
  first = encoding.first_packets(packets, k)
  columns = [
    first.directions * first.lengths,
    encoding.log_inter_arrival_times(first),
  ]
  if counted:
    columns += [
      encoding.length_counts(encoding.first_packets(first, -(-k // part)))
      for part in (6, 2, 1)
    ]
  return np.concatenate(columns, axis=1).astype(np.float32)


def forest_propagation(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  queries: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
  parts: Sequence[str] = PARTS,
) -> dict[str, np.ndarray]:
  """Grows three forests a run, as the module says.

  Args:
    study: what the runs share.
    draws: R draws.
    lambdas: `[R]`, ignored.
    queries: `[R, Q]` flows to answer for.
    on_epoch: ignored.
    parts: which of `PARTS` to use.

  Returns:
    Probabilities of "bandwidth", "duration" and "class", `[R, Q, classes]`.
  """
  del lambdas, on_epoch
  inputs = features(study.flows.packets, study.k, "length_counts" in parts)
  totals = np.stack([TASKS[task](study.flows) for task in MAIN_TASKS], axis=1)
  runs = []
  for run, asked in enumerate(np.asarray(queries)):
    draw = jax.tree.map(operator.itemgetter(run), draws)
    runs.append(_one_run(study, draw, asked, inputs, totals, parts))
  return {task: np.stack([run[task] for run in runs]) for task in runs[0]}


def without(part: str) -> Method:
  """The method with one of `PARTS` left out, for an ablation."""
  return functools.partial(
    forest_propagation, parts=[other for other in PARTS if other != part]
  )


def _one_run(study, draw, asked, inputs, totals, parts):
  train = np.asarray(draw.train)
  labels = np.asarray(draw.targets["class"])[train[: draw.num_labelled]]
  settings = {
    "n_estimators": _NUM_TREES,
    "n_jobs": -1,
    "random_state": int(jax.random.bits(draw.key) >> 1),
  }

  def opinion(columns: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What the labelled flows' columns say of others, `[W, C]`."""
    forest = ExtraTreesClassifier(**settings)
    _calmly(forest.fit, columns, labels)
    probabilities = np.zeros((len(wanted), study.num_classes["class"]))
    probabilities[:, forest.classes_] = _calmly(forest.predict_proba, wanted)
    return _shares(probabilities + _DOUBT)

  # Ranks, as neither is spread evenly; a flow of 0 s has no bandwidth.
  ranks = stats.rankdata(totals[train], axis=0, nan_policy="omit") / len(train)
  ranks = np.nan_to_num(ranks, nan=0.5)
  forest = ExtraTreesRegressor(
    min_samples_leaf=_LEAF_SIZE, max_features=0.2, **settings
  )
  _calmly(forest.fit, inputs[train], ranks)
  leaves, asked_leaves = _leaves(forest, inputs[train]), _leaves(forest, inputs[asked])
  scores = {}
  for task in MAIN_TASKS:
    target = np.asarray(draw.targets[task])[train]
    known = np.eye(study.num_classes[task])[target] * (target >= 0)[:, None]
    scores[task] = vote(asked_leaves, leaves, known)

  product = np.ones((len(asked), study.num_classes["class"]))
  if "unlabelled_flows" in parts:
    opinions = opinion(ranks[: len(labels)], ranks)
    opinions[: len(labels)] = np.eye(study.num_classes["class"])[labels]
    # Classes weigh the same, however many flows they have.
    votes = vote(asked_leaves, leaves, opinions / np.sum(opinions, axis=0))
    product *= _shares(votes) + _DOUBT
  if "labelled_packets" in parts:
    product *= opinion(inputs[train[: len(labels)]], inputs[asked])
  scores["class"] = _shares(product)
  return scores


def vote(
  asked: sparse.csr_matrix, known: sparse.csr_matrix, values: np.ndarray
) -> np.ndarray:
  """What flows in the same leaves have, `[A, V]`: the mean over trees of leaf means.

  Args:
    asked: `[A, leaves]`, which of them each flow asked about is in, one of each tree.
    known: `[T, leaves]`, those of the training flows; a leaf of none counts as 0.
    values: `[T, V]`, what the training flows have.
  """
  sizes = np.maximum(known.sum(axis=0), 1)
  in_leaves = np.asarray(known.T @ values) / np.asarray(sizes).T
  return np.asarray((asked @ in_leaves) / asked.sum(axis=1))


def _shares(values: np.ndarray) -> np.ndarray:
  """Rows that sum to 1."""
  return values / np.sum(values, axis=1, keepdims=True)


def _calmly(method: Callable, *args, **kwargs):
  """Calls a forest's method, and puts back the filters of Python's warnings.

  The forest's threads each set them for a while, and may leave them empty between them;
  scikit-learn then warns of that at every tree to come.
  """
  with warnings.catch_warnings():
    return method(*args, **kwargs)


def _leaves(forest: ExtraTreesRegressor, inputs: np.ndarray) -> sparse.csr_matrix:
  """Which leaves each flow is in, `[N, nodes of all trees]`; one of each tree."""
  sizes = [tree.tree_.node_count for tree in forest.estimators_]
  nodes = _calmly(forest.apply, inputs) + np.cumsum([0, *sizes[:-1]])
  num_flows, num_trees = nodes.shape
  starts = np.arange(num_flows + 1) * num_trees
  return sparse.csr_matrix(
    (np.ones(nodes.size), nodes.ravel(), starts), shape=(num_flows, sum(sizes))
  )
