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

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from mtl_traffic import encoding
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
from mtl_traffic.tasks import MAIN_TASKS, TASKS

# What can be left out, to see what it contributes.
PARTS = ("length_counts", "unlabelled_flows", "labelled_packets")
_NUM_TREES = 200
_LEAF_SIZE = 2  # Training flows: a leaf of one would repeat the training set.
_DOUBT = 0.02  # Of an opinion: none excludes a class.


@dataclasses.dataclass(frozen=True)
class ForestPropagation(Method):
  """Grows three forests a run, as the module says.

  The parameters are two forests: "leaves" answers what the training flows of a leaf
  have, for each task; "packets" is the one on the labelled packets.

  Attributes:
    parts: which of `PARTS` to use.
  """

  parts: tuple[str, ...] = PARTS

  @property
  def answered(self) -> tuple[str, ...]:
    return (*MAIN_TASKS, "class")

  def inputs(self, packets: FirstPackets) -> jax.Array:
    return features(packets, "length_counts" in self.parts)

  def fit(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    score: Score | None = None,
    progress: Progress = lambda fraction: None,
  ) -> Parameters:
    inputs = np.asarray(problem.inputs)
    totals = np.stack([TASKS[task](problem.flows) for task in MAIN_TASKS], axis=1)
    return fit_each(
      lambda draw: self._fit_one(draw, inputs, totals, problem.num_classes),
      draws,
      progress,
    )

  def _fit_one(
    self,
    draw: Draw,
    inputs: np.ndarray,
    totals: np.ndarray,
    num_classes: Mapping[str, int],
  ) -> Parameters:
    train = np.asarray(draw.train)
    labelled, labels = draw.labelled()
    settings = {
      "n_estimators": _NUM_TREES,
      "n_jobs": -1,
      "random_state": forest.seed_of(draw.key),
    }

    def grow_for_class(columns: np.ndarray) -> forest.Forest:
      return forest.grow(
        ExtraTreesClassifier(**settings), columns, labels, num_classes["class"]
      )

    # Ranks, as neither is spread evenly; a flow of 0 s has no bandwidth.
    ranks = stats.rankdata(totals[train], axis=0, nan_policy="omit") / len(train)
    ranks = np.nan_to_num(ranks, nan=0.5)
    grown = forest.grow(
      ExtraTreesRegressor(min_samples_leaf=_LEAF_SIZE, max_features=0.2, **settings),
      inputs[train],
      ranks,
    )
    known = {}
    for task in MAIN_TASKS:
      target = np.asarray(draw.targets[task])[train]
      known[task] = np.eye(num_classes[task])[target] * (target >= 0)[:, None]
    if "unlabelled_flows" in self.parts:
      by_totals = grow_for_class(ranks[: len(labels)])
      opinions = forest.in_blocks(_opinion, by_totals, ranks)
      opinions[: len(labels)] = np.eye(num_classes["class"])[labels]
      # Classes weigh the same, however many flows they have.
      # One of which no flow is known stays at 0.
      known["class"] = opinions / np.maximum(np.sum(opinions, axis=0), 1e-9)
    parameters = {"leaves": forest.with_means(grown, inputs[train], known)}
    if "labelled_packets" in self.parts:
      parameters["packets"] = grow_for_class(inputs[labelled])
    return parameters

  def check(self, parameters: Parameters, input_shape: tuple[int, ...]) -> None:
    for grown in parameters.values():
      forest.check(grown, *input_shape)

  def apply(self, parameters: Parameters, inputs: jax.Array) -> dict[str, jax.Array]:
    votes = forest.answer(parameters["leaves"], inputs)
    scores = {task: log_probabilities(votes[task]) for task in MAIN_TASKS}
    opinions = []
    if "class" in votes:
      opinions.append(_shares(votes["class"]) + _DOUBT)
    if "packets" in parameters:
      opinions.append(_opinion(parameters["packets"], inputs))
    scores["class"] = log_probabilities(_shares(math.prod(opinions)))
    return scores


def features(packets: FirstPackets, counted: bool = True) -> jax.Array:
  """The first k packets of each flow as columns for trees, `[N, F]` float32.

  Direction × length and logarithmic inter-arrival time of each packet; then the
  `encoding.length_counts` of the first sixth, half, and all of them.

  Args:
    packets: the first k packets of N flows.
    counted: whether lengths are counted; static.
  """
  k = packets.lengths.shape[1]
  columns = [
    packets.directions * packets.lengths,
    encoding.log_inter_arrival_times(packets),
  ]
  if counted:
    columns.append(encoding.length_counts(packets, [-(-k // n) for n in (6, 2, 1)]))
  return jnp.concatenate([jnp.asarray(c, jnp.float32) for c in columns], axis=1)


def _opinion(grown: forest.Forest, inputs: jax.Array) -> jax.Array:
  """A forest's probabilities of the classes, `[N, C]`, with some doubt."""
  return _shares(forest.answer(grown, inputs) + _DOUBT)


def _shares(values: jax.Array) -> jax.Array:
  """Rows that sum to 1."""
  return values / jnp.sum(values, axis=1, keepdims=True)
