"""Random forests on statistics of a flow's packets, learning the class alone.

The paper takes its random forest and the idea of its features from Aceto et al.,
*Mobile Encrypted Traffic Classification Using Deep Learning* (2018): statistics of
lengths and inter-arrival times, of both directions and of each.
"""

from collections.abc import Callable

import jax
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from mtl_traffic.draws import Draw
from mtl_traffic.flows import Packets
from mtl_traffic.study import Study

_NUM_TREES = 300
_PERCENTILES = np.arange(10, 100, 10)
_STATISTICS = (
  "min",
  "max",
  "mean",
  "deviation",
  *(f"{percentile}th percentile" for percentile in _PERCENTILES),
)
FEATURES = tuple(
  f"{statistic} of {series}, {direction}"
  for direction in ("both ways", "to server", "to client")
  for series, statistics in (
    ("packets", ("number",)),
    ("lengths", _STATISTICS),
    ("inter-arrival times", _STATISTICS),
  )
  for statistic in statistics
)


def statistics(packets: Packets) -> np.ndarray:
  """Statistics of each flow's packets, `[N, len(FEATURES)]`; 0 where there are none.

  An inter-arrival time of one direction is the time since its own last packet.
  """
  there = np.arange(packets.times.shape[1]) < packets.counts[:, None]
  columns = []
  for chosen in (
    there,
    there & (packets.directions > 0),
    there & (packets.directions < 0),
  ):
    # The chosen packets first, so that neighbours are successive ones.
    order = np.argsort(~chosen, axis=1, kind="stable")
    counts = chosen.sum(axis=1)
    lengths = np.take_along_axis(packets.lengths, order, axis=1).astype(float)
    times = np.take_along_axis(packets.times, order, axis=1)
    columns += [
      counts[:, None],
      _summary(lengths, counts),
      _summary(np.diff(times, axis=1), np.maximum(counts - 1, 0)),
    ]
  return np.concatenate(columns, axis=1)


def random_forest(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  queries: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
) -> dict[str, np.ndarray]:
  """Forests on all stored packets of the labelled flows: the paper's, offline.

  Args:
    study: what the runs share.
    draws: R draws.
    lambdas: `[R]`, ignored.
    queries: `[R, Q]` flows to answer for.
    on_epoch: ignored.

  Returns:
    For "class" the forest's probabilities, `[R, Q, classes]`.
  """
  del lambdas, on_epoch
  return _forests(study, study.flows.packets, draws, queries)


def random_forest_online(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  queries: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
) -> dict[str, np.ndarray]:
  """As `random_forest`, on the first k packets: what the networks see."""
  del lambdas, on_epoch
  packets = jax.tree.map(
    lambda leaf: leaf[:, : study.k] if leaf.ndim == 2 else np.minimum(leaf, study.k),
    study.flows.packets,
  )
  return _forests(study, packets, draws, queries)


def _forests(
  study: Study, packets: Packets, draws: Draw, queries: jax.Array
) -> dict[str, np.ndarray]:
  queries, train = np.asarray(queries), np.asarray(draws.train)
  labelled = [row[:count] for row, count in zip(train, draws.num_labelled, strict=True)]
  needed = np.unique(np.concatenate([queries.ravel(), *labelled]))
  features = np.zeros((len(study.flows), len(FEATURES)), np.float32)
  features[needed] = statistics(jax.tree.map(lambda leaf: leaf[needed], packets))

  scores = np.zeros((*queries.shape, study.num_classes["class"]))
  for run, flows in enumerate(labelled):
    forest = RandomForestClassifier(
      _NUM_TREES, random_state=int(jax.random.bits(draws.key[run]) >> 1), n_jobs=-1
    )
    forest.fit(features[flows], study.flows.classes[flows])
    scores[run][:, forest.classes_] = forest.predict_proba(features[queries[run]])
  return {"class": scores}


def _summary(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
  """Statistics of the first `counts` values of each row, `[N, len(_STATISTICS)]`."""
  there = np.arange(values.shape[1]) < counts[:, None]
  ordered = np.sort(np.where(there, values, np.inf), axis=1)
  ordered[np.isinf(ordered)] = 0
  last = np.maximum(counts - 1, 0)
  size = np.maximum(counts, 1)
  mean = np.sum(values, axis=1, where=there) / size
  deviation = np.sqrt(np.sum((values - mean[:, None]) ** 2, axis=1, where=there) / size)
  # Percentiles between order statistics, as numpy.percentile has them.
  place = _PERCENTILES / 100 * last[:, None]
  low = np.floor(place).astype(int)
  below = np.take_along_axis(ordered, low, axis=1)
  above = np.take_along_axis(ordered, np.minimum(low + 1, last[:, None]), axis=1)
  columns = [
    ordered[:, :1],
    np.take_along_axis(ordered, last[:, None], axis=1),
    mean[:, None],
    deviation[:, None],
    below + (place - low) * (above - below),
  ]
  return np.concatenate(columns, axis=1)
