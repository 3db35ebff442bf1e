"""What whole flows say of the class of training flows: probabilities for all of them.

Three forests learn the class from the labelled flows: from totals of the whole flow,
from all its stored packets, and from what the student reads of its first packets. Their
probabilities are multiplied, each to a power that the labelled flows give out of bag:
where totals say little of the class, as in some traffic, they are hardly heard. Then
flows that are alike, by all that is known of them, hear each other's opinion
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
_DOUBT = 0.02  # Of an opinion: none excludes a class.
# Of a source's power around 1, before any flow is seen. Ten labels say little of it.
_POWER_DEVIATION = 0.3
_LARGEST_POWER = 3.0
_FLOWS_AT_ONCE = 4096


def totals(flows: Flows) -> np.ndarray:
  """What a whole flow adds up to, `[N, 5]`; NaN where it has no such value.

  Bandwidth (bytes/s), duration (s), packets, bytes, and bytes a packet.
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
  """What the teacher looks at, `[T, F]` of each source.

  Args:
    flows: T training flows.
    inputs: `[T, F]`, what the student reads of their first packets.
    names: in `SOURCES`.
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
  """The classes that T training flows have by what is known of them, `[T, C]`.

  Args:
    columns: `[T, F]` of each source, the labelled flows first.
    labels: `[L]` int, the classes of the labelled flows.
    num_classes: C.
    seed: of the forests.
    hear_neighbours: whether flows that are alike hear each other's opinion.

  Returns:
    Probabilities. Labelled flows have their labels.
  """
  if len(labels) == len(columns[0]):
    return np.eye(num_classes)[labels]
  learn = functools.partial(_learn, labels=labels, num_classes=num_classes, seed=seed)
  of_sources = [learn(of_source) for of_source in columns]
  powers = source_powers([out_of_bag for _, out_of_bag in of_sources], labels)
  product = multiplied([of_all for of_all, _ in of_sources], powers)
  # Doubt does not make a class of one that nobody named.
  product[:, np.bincount(labels, minlength=num_classes) == 0] = 0
  product = _shares(product)
  product[: len(labels)] = np.eye(num_classes)[labels]
  if not hear_neighbours:
    return product
  return propagation.propagated(np.concatenate(columns, axis=1), product, labels, seed)


def multiplied(opinions: Sequence[np.ndarray], powers: Sequence[float]) -> np.ndarray:
  """The product of probabilities `[N, C]` to some powers, each with some doubt."""
  logs = [
    power * np.log(_doubted(opinion))
    for opinion, power in zip(opinions, powers, strict=True)
  ]
  return special.softmax(sum(logs), axis=1)


def source_powers(opinions: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
  """The powers, one a source, for which the product names labelled flows best.

  The most probable ones, given the labels, and before that normal distributions around
  1. So they stay at 1 where labels say nothing.

  Args:
    opinions: of each source `[L, C]`, on labelled flows that it did not learn from;
      rows of NaN do not count.
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
  """The rank of each flow in each total, 0 to 1; 0.5 where it has none."""
  ranks = stats.rankdata(totals, axis=0, nan_policy="omit") / len(totals)
  return np.nan_to_num(ranks, nan=0.5).astype(np.float32)


def _learn(
  columns: np.ndarray, labels: np.ndarray, num_classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """What one source says of all flows, and out of bag of the labelled ones."""
  settings = {
    "n_estimators": _NUM_TREES,
    "random_state": seed,
    "n_jobs": -1,
  }
  whole = ExtraTreesClassifier(**settings)
  bagged = ExtraTreesClassifier(bootstrap=True, oob_score=True, **settings)
  of_all = np.zeros((len(columns), num_classes))
  out_of_bag = np.full((len(labels), num_classes), np.nan)
  # The trees' threads change Python's filters of warnings. And a class of a single flow
  # has no tree that knows it and did not learn from that flow.
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
