"""The teacher: predicts the class of all training flows from whole flows.

Three forests learn the class from the labelled flows. They read the totals of the whole
flow, all its stored packets, and the student's inputs from its first packets. Their
probabilities are multiplied, each to a power that is fitted to out-of-bag predictions
for the labelled flows. So a source that says little about the class, as totals do in
some traffic, gets a low power. Then the predictions spread among similar flows
(`propagation`).
"""

import functools
import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, special, stats
from sklearn.ensemble import ExtraTreesClassifier

from mtl_traffic import encoding
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.flows import Flows
from mtl_traffic.methods import propagation
from mtl_traffic.methods.packet_statistics import statistics
from mtl_traffic.tasks import bandwidth, mean_length

SOURCES = ("totals", "whole_flows", "first_packets")
_NUM_TREES = 200
_DOUBT = 0.02  # Mixed into each opinion, so that none excludes a class.
# Standard deviation of the prior on a source's power; ten labels tell little about it.
_POWER_DEVIATION = 0.3
_LARGEST_POWER = 3.0
_FLOWS_AT_ONCE = 4096


def totals(flows: Flows) -> np.ndarray:
  """Totals of whole flows, `[N, 5]`; NaN where a flow has no such value.

  Bandwidth (bytes/s), duration (s), packets, bytes, and bytes per packet.
  """
  columns = [bandwidth(flows), flows.durations, flows.num_packets, flows.num_bytes]
  return np.stack([*columns, mean_length(flows)], axis=1).astype(np.float64)


def whole_columns(flows: Flows) -> np.ndarray:
  """All stored packets of each flow as columns for trees, `[N, F]` float32."""
  packets = encoding.first_packets(flows.packets, flows.packets.lengths.shape[1])
  starts = range(0, len(flows), _FLOWS_AT_ONCE)
  parts = [
    _whole_columns(
      jax.tree.map(lambda leaf, s=start: leaf[s : s + _FLOWS_AT_ONCE], packets)
    )
    for start in starts
  ]
  return np.concatenate([np.asarray(part) for part in parts])


def sources(
  flows: Flows, inputs: np.ndarray, names: Sequence[str] = SOURCES
) -> list[np.ndarray]:
  """The teacher's inputs, `[T, F]` for each source.

  Args:
    flows: T training flows.
    inputs: `[T, F]`, the student's inputs from their first packets.
    names: names in `SOURCES`.
  """
  return [
    {
      "totals": lambda: ranked(totals(flows)),
      "whole_flows": lambda: whole_columns(flows),
      "first_packets": lambda: inputs,
    }[name]()
    for name in names
  ]


@jax.jit
def _whole_columns(packets: FirstPackets) -> jax.Array:
  counts = encoding.length_counts(packets, [packets.lengths.shape[1]])
  return jnp.concatenate([statistics(packets), counts], axis=1).astype(jnp.float32)


def opinions(
  columns: Sequence[np.ndarray],
  labels: np.ndarray,
  num_classes: int,
  seed: int,
  *,
  hear_neighbours: bool = True,
) -> np.ndarray:
  """Predicts the class of T training flows, `[T, C]`.

  Args:
    columns: `[T, F]` for each source, the labelled flows first.
    labels: `[L]` int, the classes of the labelled flows.
    num_classes: C.
    seed: the random seed of the forests.
    hear_neighbours: whether opinions spread among similar flows.

  Returns:
    Probabilities. A labelled flow has probability 1 for its label.
  """
  if len(labels) == len(columns[0]):
    return np.eye(num_classes)[labels]
  learn = functools.partial(_learn, labels=labels, num_classes=num_classes, seed=seed)
  of_sources = [learn(of_source) for of_source in columns]
  powers = source_powers([out_of_bag for _, out_of_bag in of_sources], labels)
  product = multiplied([of_all for of_all, _ in of_sources], powers)
  # Doubt must not give probability to a class that has no labels.
  product[:, np.bincount(labels, minlength=num_classes) == 0] = 0
  product = _shares(product)
  product[: len(labels)] = np.eye(num_classes)[labels]
  if not hear_neighbours:
    return product
  return propagation.propagated(np.concatenate(columns, axis=1), product, labels, seed)


def multiplied(opinions: Sequence[np.ndarray], powers: Sequence[float]) -> np.ndarray:
  """The product of probabilities `[N, C]`, each mixed with doubt, to some powers."""
  logs = [
    power * np.log(_doubted(opinion))
    for opinion, power in zip(opinions, powers, strict=True)
  ]
  return special.softmax(sum(logs), axis=1)


def source_powers(opinions: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
  """The power of each source for which the product predicts labelled flows best.

  The powers maximise the posterior given the labels, with normal priors around 1. So
  they stay near 1 where labels say little.

  Args:
    opinions: for each source `[L, C]`, predictions for labelled flows from trees that
      were not trained on them; rows of NaN do not count.
    labels: `[L]` int.
  """
  known = ~np.isnan(np.sum(opinions, axis=(0, 2)))
  logs = np.log([_doubted(opinion[known]) for opinion in opinions])
  labels = labels[known]

  def loss(powers: np.ndarray) -> float:
    scores = special.log_softmax(np.tensordot(powers, logs, 1), axis=1)
    prior = np.sum((powers - 1) ** 2) / (2 * _POWER_DEVIATION**2)
    return prior - np.sum(scores[np.arange(len(labels)), labels])

  begin = np.ones(len(opinions))
  return optimize.minimize(loss, begin, bounds=[(0, _LARGEST_POWER)] * len(begin)).x


def ranked(totals: np.ndarray) -> np.ndarray:
  """The rank of each flow in each total, 0 to 1; 0.5 for a missing value."""
  ranks = stats.rankdata(totals, axis=0, nan_policy="omit") / len(totals)
  return np.nan_to_num(ranks, nan=0.5).astype(np.float32)


def _learn(
  columns: np.ndarray, labels: np.ndarray, num_classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """One source's predictions for all flows, and out of bag for the labelled flows."""
  settings = {
    "n_estimators": _NUM_TREES,
    "random_state": seed,
    "n_jobs": -1,
  }
  whole = ExtraTreesClassifier(**settings)
  bagged = ExtraTreesClassifier(bootstrap=True, oob_score=True, **settings)
  of_all = np.zeros((len(columns), num_classes))
  out_of_bag = np.full((len(labels), num_classes), np.nan)
  # The trees' threads change Python's warning filters. And for a class with a single
  # flow, every tree that knows the class was trained on that flow.
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    whole.fit(columns[: len(labels)], labels)
    of_all[:, whole.classes_] = whole.predict_proba(columns)
    bagged.fit(columns[: len(labels)], labels)
  counts = np.bincount(labels, minlength=num_classes)
  several = counts[labels] > 1
  out_of_bag[several] = 0
  out_of_bag[np.ix_(several, bagged.classes_)] = bagged.oob_decision_function_[several]
  return of_all, out_of_bag


def _doubted(opinion: np.ndarray) -> np.ndarray:
  return _shares(opinion + _DOUBT)


def _shares(values: np.ndarray) -> np.ndarray:
  return values / np.sum(values, axis=1, keepdims=True)
