"""Which flows to label: those that most flows are like, each unlike the others.

A flow covers the flows that are like it, as far as they are. Flows are chosen one by
one, each for what it adds to the coverage of all flows: typical ones come first, and no
two of a kind. W. Bae, J. Noh and D. J. Sutherland, "Generalized Coverage for More
Robust Low-Budget Active Learning", ECCV 2024. With few labels this is worth more than
labels of flows that a model is unsure of: G. Hacohen, A. Dekel and D. Weinshall,
"Active Learning on a Budget", ICML 2022.

Two flows are as similar as the share of random trees in which they fall into the same
leaf: P. Geurts, D. Ernst and L. Wehenkel, "Extremely Randomized Trees", 2006.
"""

import dataclasses
import heapq
from collections.abc import Iterator

import numpy as np
from scipy import sparse
from sklearn.ensemble import RandomTreesEmbedding

from mtl_traffic.flows import Flows
from mtl_traffic.methods.teacher import ranked, totals, whole_columns

_NUM_TREES = 100
_DEPTH = 8


@dataclasses.dataclass(frozen=True)
class Suggestion:
  """A flow to label, and why.

  Attributes:
    flow: its index.
    coverage: how many flows are like it and like no flow chosen or labelled before;
      a flow that is half like it counts as half a flow.
  """

  flow: int
  coverage: float


def suggest(
  columns: np.ndarray, number: int, labelled: np.ndarray, seed: int = 0
) -> list[Suggestion]:
  """Chooses flows to label, the most useful first.

  Args:
    columns: `[N, F]`, what is known of whole flows, see `columns`.
    number: how many to choose; fewer if there are fewer flows without a label.
    labelled: `[N]` bool, the flows that have a label already.
    seed: of the random trees.
  """
  candidates = np.flatnonzero(~labelled)
  if not len(candidates):
    return []
  leaves = _leaves(columns, seed)
  covered = np.zeros(len(columns))  # By the most similar of the labelled flows.
  for flow in np.flatnonzero(labelled):
    covered = np.maximum(covered, _similarities(leaves, flow))
  suggestions = []
  for flow, similarities in _greedy(leaves, candidates, covered, number):
    gained = np.maximum(similarities - covered, 0)
    covered += gained
    suggestions.append(Suggestion(flow, float(np.sum(gained))))
  return suggestions


def columns(flows: Flows) -> np.ndarray:
  """What is known of whole flows, `[N, F]` float32, on scales on which they spread."""
  return np.concatenate(
    [ranked(totals(flows)), np.arcsinh(whole_columns(flows))], axis=1
  ).astype(np.float32)


def _greedy(
  leaves: sparse.csr_array, candidates: np.ndarray, covered: np.ndarray, number: int
) -> Iterator[tuple[int, np.ndarray]]:
  """The flow that adds most to the coverage, again and again, with its similarities.

  What a flow adds never grows, so what it added before is a bound, and few flows have
  to be looked at for each choice (M. Minoux, "Accelerated Greedy Algorithms", 1978).

  Args:
    leaves: `[N, leaves]`.
    candidates: which of the N flows may be chosen.
    covered: `[N]`, updated by the caller after each choice.
    number: choices, if there are as many candidates.
  """
  bounds = leaves[candidates] @ leaves.sum(axis=0) / _NUM_TREES
  heap = list(zip(-bounds, candidates.tolist(), strict=True))
  heapq.heapify(heap)
  for _ in range(min(number, len(candidates))):
    while True:
      _, flow = heapq.heappop(heap)
      similarities = _similarities(leaves, flow)
      gain = np.sum(np.maximum(similarities - covered, 0))
      if not heap or gain >= -heap[0][0]:
        break
      heapq.heappush(heap, (-gain, flow))
    yield flow, similarities


def _leaves(columns: np.ndarray, seed: int) -> sparse.csr_array:
  """Which leaves flows fall into, `[N, leaves]` of 0 and 1, one a tree."""
  trees = RandomTreesEmbedding(
    _NUM_TREES, max_depth=_DEPTH, random_state=seed, n_jobs=-1
  )
  return sparse.csr_array(trees.fit_transform(columns))


def _similarities(leaves: sparse.csr_array, flow: int) -> np.ndarray:
  """The similarity of all flows to one of them, `[N]`, 0 to 1."""
  return np.asarray(leaves @ leaves[flow].toarray().ravel()) / _NUM_TREES
