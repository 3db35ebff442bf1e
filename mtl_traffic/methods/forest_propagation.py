"""Labels that spread over the leaves of a forest that learnt bandwidth and duration.

The paper's idea, that bandwidth and duration of unlabelled flows teach what bears on
the class, with trees: applications send packets of exact sizes, which a threshold on a
length finds and a convolution blurs.

1. A forest learns bandwidth and duration from the first packets of all training flows.
   Flows that share its leaves look alike in what bears on the two.
2. The few labels walk from flow to flow over shared leaves (D. Zhou et al., *Learning
   with Local and Global Consistency*, NIPS 2003).
3. Where they arrive is one opinion on an unlabelled training flow. Two forests that are
   trained on the labelled flows have others: one sees the first packets, one the
   bandwidth and duration of the whole flow, which are known of every training flow.
4. A last forest learns the class from the first packets of all training flows, as the
   three agree on it, and weighted by how clearly.

The last forest, and the first one for bandwidth and duration, answer for new flows, of
which they see the first packets alone.
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
PARTS = ("length_counts", "walk", "labelled_packets", "whole_flows", "last_forest")
_NUM_TREES = 100
_LEAF_SIZE = 2  # Training flows: a leaf of one would lead nowhere.
_STEPS = 20
_RESTART = 0.1  # How much of the labels is put back where they were, each step.
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
  """Grows four forests a run, as the module says.

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
  num_labelled = len(labels)
  num_classes = study.num_classes["class"]
  settings = {
    "n_estimators": _NUM_TREES,
    "n_jobs": -1,
    "random_state": int(jax.random.bits(draw.key) >> 1),
  }

  # Ranks, as neither is spread evenly; a flow of 0 s has no bandwidth.
  ranks = stats.rankdata(totals[train], axis=0, nan_policy="omit") / len(train)
  ranks = np.nan_to_num(ranks, nan=0.5)
  forest = ExtraTreesRegressor(
    min_samples_leaf=_LEAF_SIZE, max_features=0.2, **settings
  )
  _calmly(forest.fit, inputs[train], ranks)
  leaves = _leaves(forest, inputs[train])
  asked_leaves = _leaves(forest, inputs[asked])
  scores = {}
  for task in MAIN_TASKS:
    one_hot = np.eye(study.num_classes[task])
    target = np.asarray(draw.targets[task])[train]
    scores[task] = _vote(asked_leaves, leaves, one_hot[target] * (target >= 0)[:, None])

  labelled = np.eye(num_classes)[labels]
  opinion = np.ones((len(train), num_classes))
  if "walk" in parts:
    opinion *= walk(leaves, labelled)
  for part, columns, weight in (
    ("labelled_packets", inputs[train], 1.0),
    ("whole_flows", ranks, 0.5),
  ):
    if part in parts:
      teacher = ExtraTreesClassifier(**settings)
      _calmly(teacher.fit, columns[:num_labelled], labels)
      guess = np.zeros_like(opinion)
      guess[:, teacher.classes_] = _calmly(teacher.predict_proba, columns)
      opinion *= (guess + _DOUBT) ** weight
  opinion[:num_labelled] = labelled
  opinion /= np.sum(opinion, axis=1, keepdims=True)

  if "last_forest" not in parts:
    scores["class"] = _vote(asked_leaves, leaves, opinion / np.sum(opinion, axis=0))
    return scores
  taught = np.argmax(opinion, axis=1)
  clarity = ((np.max(opinion, axis=1) - 1 / num_classes) / (1 - 1 / num_classes)) ** 2
  # Classes weigh the same, however many flows they have.
  weights = clarity / np.bincount(taught, clarity, num_classes)[taught]
  last = ExtraTreesClassifier(**settings)
  _calmly(last.fit, inputs[train], taught, sample_weight=weights)
  scores["class"] = np.zeros((len(asked), num_classes))
  scores["class"][:, last.classes_] = _calmly(last.predict_proba, inputs[asked])
  return scores


def walk(leaves: sparse.csr_matrix, labels: np.ndarray) -> np.ndarray:
  """Where labels arrive that walk from flow to flow, `[T, C]`; rows sum to 1.

  A step goes to a tree at random, and there to any flow of the same leaf. Classes are
  given equal mass, as X. Zhu et al. (*Semi-Supervised Learning Using Gaussian Fields
  and Harmonic Functions*, ICML 2003) normalise it, so that a class of which more flows
  are alike does not swallow the others.

  Args:
    leaves: `[T, leaves]`, which of them each flow is in, one of each tree.
    labels: `[L, C]` one-hot, of the first L flows; every class has one.
  """
  start = np.zeros((leaves.shape[0], labels.shape[1]))
  start[: len(labels)] = labels / np.sum(labels, axis=0)
  arrived = start
  for _ in range(_STEPS):
    arrived = (1 - _RESTART) * _vote(leaves, leaves, arrived) + _RESTART * start
  shares = arrived / np.sum(arrived, axis=0) + np.finfo(float).tiny
  return shares / np.sum(shares, axis=1, keepdims=True)


def _calmly(method: Callable, *args, **kwargs):
  """Calls a forest's method, and puts back the filters of Python's warnings.

  The forest's threads each set them for a while, and may leave them empty between them;
  scikit-learn then warns of that at every tree to come.
  """
  with warnings.catch_warnings():
    return method(*args, **kwargs)


def _vote(asked: sparse.csr_matrix, known: sparse.csr_matrix, values: np.ndarray):
  """For each flow asked about, the mean over trees of its leaf's mean value."""
  sizes = np.maximum(known.sum(axis=0), 1)
  in_leaves = np.asarray(known.T @ values) / np.asarray(sizes).T
  return asked @ in_leaves / _NUM_TREES


def _leaves(forest: ExtraTreesRegressor, inputs: np.ndarray) -> sparse.csr_matrix:
  """Which leaves each flow is in, `[N, nodes of all trees]`; one of each tree."""
  sizes = [tree.tree_.node_count for tree in forest.estimators_]
  nodes = _calmly(forest.apply, inputs) + np.cumsum([0, *sizes[:-1]])
  num_flows, num_trees = nodes.shape
  starts = np.arange(num_flows + 1) * num_trees
  return sparse.csr_matrix(
    (np.ones(nodes.size), nodes.ravel(), starts), shape=(num_flows, sum(sizes))
  )
