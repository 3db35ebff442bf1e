"""Random forests on statistics of a flow's packets, learning the class alone.

The paper takes its random forest and the idea of its features from Aceto et al.,
*Mobile Encrypted Traffic Classification Using Deep Learning* (2018): statistics of
lengths and inter-arrival times, of both directions and of each.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from mtl_traffic.draws import Draw
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.methods import forest
from mtl_traffic.methods.base import (
  Hyperparameters,
  Method,
  Parameters,
  Problem,
  Progress,
  Score,
  fit_each,
  log_probabilities,
)

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


def statistics(packets: FirstPackets) -> jax.Array:
  """Statistics of each flow's packets, `[N, len(FEATURES)]`; 0 where there are none.

  An inter-arrival time of one direction is the time since its own last packet.
  """
  columns = []
  for chosen in (
    packets.there,
    packets.there & (packets.directions > 0),
    packets.there & (packets.directions < 0),
  ):
    is_later = chosen & (jnp.cumsum(chosen, axis=1) > 1)
    columns += [
      jnp.sum(chosen, axis=1, keepdims=True).astype(jnp.float32),
      _summary(jnp.asarray(packets.lengths, jnp.float32), chosen),
      _summary(_since_last(packets.inter_arrival_times, chosen), is_later),
    ]
  return jnp.concatenate(columns, axis=1)


@dataclasses.dataclass(frozen=True)
class RandomForestOnline(Method):
  """A forest on the first k packets of the labelled flows: what the networks see."""

  @property
  def answered(self) -> tuple[str, ...]:
    return ("class",)

  def inputs(self, packets: FirstPackets) -> jax.Array:
    return statistics(packets)

  def fit(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    score: Score | None = None,
    progress: Progress = lambda fraction: None,
  ) -> Parameters:
    def fit_one(draw: Draw) -> Parameters:
      labelled, classes = draw.labelled()
      return forest.grow(
        RandomForestClassifier(
          _NUM_TREES, random_state=forest.seed_of(draw.key), n_jobs=-1
        ),
        np.asarray(problem.inputs[labelled]),
        classes,
        problem.num_classes["class"],
      )

    return fit_each(fit_one, draws, progress)

  def check(self, parameters: Parameters, input_shape: tuple[int, ...]) -> None:
    forest.check(parameters, *input_shape)

  def apply(self, parameters: Parameters, inputs: jax.Array) -> dict[str, jax.Array]:
    return {"class": log_probabilities(forest.answer(parameters, inputs))}


@dataclasses.dataclass(frozen=True)
class RandomForest(RandomForestOnline):
  """The paper's, offline: a forest on all stored packets of the labelled flows."""

  reads_whole_flows: ClassVar[bool] = True


def _since_last(gaps: jax.Array, chosen: jax.Array) -> jax.Array:
  """Seconds since the last chosen packet before, `[N, P]`.

  Sums of gaps rather than differences of times, whose last digits a float32 loses.
  """

  def joined(left, right):
    (begins, since), (begins_later, since_later) = left, right
    return begins | begins_later, since_later + jnp.where(begins_later, 0, since)

  begins = jnp.pad(chosen[:, :-1], ((0, 0), (1, 0)))
  _, since = jax.lax.associative_scan(joined, (begins, jnp.asarray(gaps)), axis=1)
  return since


def _summary(values: jax.Array, chosen: jax.Array) -> jax.Array:
  """Statistics of the chosen values of each row, `[N, len(_STATISTICS)]`."""
  counts = jnp.sum(chosen, axis=1, keepdims=True)
  ordered = jnp.sort(jnp.where(chosen, values, jnp.inf), axis=1)
  ordered = jnp.where(jnp.isinf(ordered), 0, ordered)
  last, size = jnp.maximum(counts - 1, 0), jnp.maximum(counts, 1)
  mean = jnp.sum(jnp.where(chosen, values, 0), axis=1, keepdims=True) / size
  squares = jnp.where(chosen, (values - mean) ** 2, 0)
  # Percentiles between order statistics, as numpy.percentile has them.
  place = _PERCENTILES / 100 * last
  low = jnp.floor(place).astype(jnp.int32)
  below = jnp.take_along_axis(ordered, low, axis=1)
  above = jnp.take_along_axis(ordered, jnp.minimum(low + 1, last), axis=1)
  columns = [
    ordered[:, :1],
    jnp.take_along_axis(ordered, last, axis=1),
    mean,
    jnp.sqrt(jnp.sum(squares, axis=1, keepdims=True) / size),
    below + (place - low) * (above - below),
  ]
  return jnp.concatenate(columns, axis=1)
