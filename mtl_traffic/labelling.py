"""Which flows to label next: typical ones, each of another kind.

G. Hacohen, A. Dekel and D. Weinshall, "Active Learning on a Budget: Opposite Strategies
Suit High and Low Budgets", ICML 2022: with few labels, those of typical and different
flows are worth more than those of flows that a model is unsure of.
"""

import dataclasses

import numpy as np
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from mtl_traffic.flows import Flows
from mtl_traffic.methods.teacher import totals, whole_columns

_COMPONENTS = 16
_NEIGHBOURS = 20


@dataclasses.dataclass(frozen=True)
class Suggestion:
  """A flow to label, and why.

  Attributes:
    flow: its index.
    cluster_size: how many flows are like it, as far as clusters go.
    typicality: 1 / its mean distance to its nearest neighbours in the cluster.
  """

  flow: int
  cluster_size: int
  typicality: float


def suggest(
  columns: np.ndarray, number: int, labelled: np.ndarray, seed: int = 0
) -> list[Suggestion]:
  """Chooses flows to label, the most useful first.

  The flows are divided into as many clusters as there will be labels. Of the clusters
  without a label the largest come first, and of each its most typical flow.

  Args:
    columns: `[N, F]`, what is known of whole flows.
    number: how many to choose; fewer if there are fewer flows without a label.
    labelled: `[N]` bool, the flows that have a label already.
    seed: of the clusters.
  """
  number = min(number, int(np.sum(~labelled)))
  space = reduced(columns)
  num_clusters = min(int(labelled.sum()) + number, len(space))
  cluster = KMeans(num_clusters, n_init=1, random_state=seed).fit_predict(space)
  taken = labelled.copy()
  suggestions: list[Suggestion] = []
  while len(suggestions) < number:
    # Clusters that two flows look alike in may be fewer than asked for: go round again.
    covered = np.bincount(cluster[taken], minlength=num_clusters)
    sizes = np.bincount(cluster[~taken], minlength=num_clusters)
    order = sorted(np.flatnonzero(sizes), key=lambda c: (covered[c], -sizes[c]))
    members = np.flatnonzero((cluster == order[0]) & ~taken)
    typicality = _typicality(space[cluster == order[0]], space[members])
    best = int(np.argmax(typicality))
    taken[members[best]] = True
    suggestions.append(
      Suggestion(
        int(members[best]), int(np.sum(cluster == order[0])), float(typicality[best])
      )
    )
  return suggestions


def columns(flows: Flows) -> np.ndarray:
  """What is known of whole flows, `[N, F]` float32, on scales on which they spread."""
  return np.concatenate(
    [np.log1p(np.nan_to_num(totals(flows))), np.log1p(whole_columns(flows))], axis=1
  ).astype(np.float32)


def reduced(columns: np.ndarray) -> np.ndarray:
  """Standardised columns, in the directions in which flows differ most, `[N, D]`."""
  deviation = columns.std(axis=0)
  varied = columns[:, deviation > 0]
  standard = (varied - varied.mean(axis=0)) / varied.std(axis=0)
  components = min(_COMPONENTS, *standard.shape)
  return PCA(components, random_state=0).fit_transform(standard)


def _typicality(cluster: np.ndarray, flows: np.ndarray) -> np.ndarray:
  """How near the flows are to their neighbours in their cluster, `[N]`."""
  neighbours = min(_NEIGHBOURS, len(cluster) - 1)
  if not neighbours:
    return np.ones(len(flows))
  distances, _ = cKDTree(cluster).query(flows, neighbours + 1)
  return 1 / (np.mean(distances[:, 1:], axis=1) + 1e-9)
