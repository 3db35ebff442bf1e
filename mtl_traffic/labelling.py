"""Suggests flows to label: typical flows that differ from each other.

A flow covers each other flow to the degree that the two are similar. Flows are chosen
one by one; each choice adds the most to the coverage of all flows. So typical flows
come first, and near duplicates are avoided. W. Bae, J. Noh and D. J. Sutherland,
"Generalized Coverage for More Robust Low-Budget Active Learning", ECCV 2024. With few
labels this works better than labelling the flows that a model is unsure of: G. Hacohen,
A. Dekel and D. Weinshall, "Active Learning on a Budget", ICML 2022.

The similarity of two flows is the share of random trees in which they fall into the
same leaf: P. Geurts, D. Ernst and L. Wehenkel, "Extremely Randomized Trees", 2006.
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
  """A flow to label, and the gain in coverage from it.

  Attributes:
    flow: its index.
    coverage: how many flows it newly covers. Each flow counts as much as its
      similarity grew: a flow that was not covered and is half similar counts 0.5.
  """

  flow: int
  coverage: float


def suggest(
  columns: np.ndarray, number: int, labelled: np.ndarray, seed: int = 0
) -> list[Suggestion]:
  """Chooses flows to label, the most useful first.

  Args:
    columns: `[N, F]`, statistics of whole flows, see `columns`.
    number: how many to choose; fewer if there are fewer unlabelled flows.
    labelled: `[N]` bool, the flows that have a label already.
    seed: random seed of the trees.
  """
  candidates = np.flatnonzero(~labelled)
  if not len(candidates):
    return []
  leaves = _leaves(columns, seed)
  covered = np.zeros(len(columns))  # Each flow's similarity to its nearest label.
  for flow in np.flatnonzero(labelled):
    covered = np.maximum(covered, _similarities(leaves, flow))
  suggestions = []
  for flow, similarities in _greedy(leaves, candidates, covered, number):
    gained = np.maximum(similarities - covered, 0)
    covered += gained
    suggestions.append(Suggestion(flow, float(np.sum(gained))))
  return suggestions


def columns(flows: Flows) -> np.ndarray:
  """Statistics of whole flows, `[N, F]` float32, on scales that spread them out."""
  return np.concatenate(
    [ranked(totals(flows)), np.arcsinh(whole_columns(flows))], axis=1
  ).astype(np.float32)


def _greedy(
  leaves: sparse.csr_array, candidates: np.ndarray, covered: np.ndarray, number: int
) -> Iterator[tuple[int, np.ndarray]]:
  """Repeatedly yields the flow that adds most to the coverage, and its similarities.

  The gain of a flow never grows, so an old gain is an upper bound. Few gains therefore
  need computing per choice (M. Minoux, "Accelerated Greedy Algorithms", 1978).

  Args:
    leaves: `[N, leaves]`, see `_leaves`.
    candidates: indices of the flows that may be chosen.
    covered: `[N]`, updated by the caller after each choice.
    number: how many to choose; fewer if there are fewer candidates.
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
  """The leaves that flows fall into, `[N, leaves]` of 0 and 1; one leaf per tree."""
  trees = RandomTreesEmbedding(
    _NUM_TREES, max_depth=_DEPTH, random_state=seed, n_jobs=-1
  )
  return sparse.csr_array(trees.fit_transform(columns))


def _similarities(leaves: sparse.csr_array, flow: int) -> np.ndarray:
  """The similarity of all flows to one of them, `[N]`, 0 to 1."""
  return np.asarray(leaves @ leaves[flow].toarray().ravel()) / _NUM_TREES
