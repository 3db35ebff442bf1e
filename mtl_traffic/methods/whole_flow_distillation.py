"""Distills what whole flows tell about the class into a model of first packets.

Training flows are complete, while a flow to predict has only its first packets. So a
teacher, which reads whole flows, learns the class from the labelled flows and predicts
it for all other training flows (`teacher`). A student, which reads first packets,
learns the teacher's predictions, bandwidth and duration from all training flows. Only
the student is used to predict.

This extends the paper's argument: properties that are free to measure on a captured
flow help to learn the class. Learning with privileged information: V. Vapnik and A.
Vashist, Neural Networks 22, 2009; by distillation: D. Lopez-Paz, L. Bottou, B.
Schölkopf and V. Vapnik, ICLR 2016.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from mtl_traffic import encoding
from mtl_traffic.draws import Draw
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.methods import familiarity, forest, propagation, teacher
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
from mtl_traffic.methods.packet_statistics import statistics
from mtl_traffic.tasks import MAIN_TASKS

# The parts that an ablation can leave out: the teacher's sources, the propagation among
# similar flows, and the unlabelled flows.
PARTS = (*teacher.SOURCES, "neighbours", "unlabelled_flows")
_NUM_TREES = 50  # 200 are no more accurate, and four times as slow.
_LEAF_SIZE = 2  # Training flows in a leaf; with one, trees would overfit.
_SHARE_OF_COLUMNS = 0.2  # Share of the columns that a split may use.
_DOUBT = 1e-3  # Mixed into each answer, so that none excludes a class.
_LEAST_SHARE = 1e-9  # Makes all classes equally likely where nothing is known.


@dataclasses.dataclass(frozen=True)
class WholeFlowDistillation(Method):
  """A forest on first packets, taught by forests that see whole training flows.

  The parameters are one forest. Each leaf holds the shares of each task's classes among
  its training flows. The forest also has the ranges of their columns (`familiarity`).

  Attributes:
    parts: which of `PARTS` to use; at least one of the teacher's sources.
  """

  parts: tuple[str, ...] = PARTS

  @property
  def answered(self) -> tuple[str, ...]:
    return (*MAIN_TASKS, "class")

  def inputs(self, packets: FirstPackets) -> jax.Array:
    return columns(packets)

  def fit(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    score: Score | None = None,
    progress: Progress = lambda fraction: None,
  ) -> Parameters:
    return fit_each(lambda draw: self._fit_one(problem, draw), draws, progress)

  def _fit_one(self, problem: Problem, draw: Draw) -> Parameters:
    if "unlabelled_flows" not in self.parts:
      draw = draw.replace(train=draw.train[: int(draw.num_labelled)])
    inputs = np.asarray(problem.inputs[np.asarray(draw.train)])
    seed = forest.seed_of(draw.key)
    taught = self._targets(problem, draw, inputs, seed)
    student = ExtraTreesRegressor(
      _NUM_TREES,
      min_samples_leaf=_LEAF_SIZE,
      max_features=_SHARE_OF_COLUMNS,
      random_state=seed,
      n_jobs=-1,
    )
    # Each task has the same weight, however many classes it has.
    joined = np.concatenate([taught[task] for task in self.answered], axis=1)
    trees = forest.with_means(forest.grow(student, inputs, joined), inputs, taught)
    return familiarity.with_ranges(trees, inputs)

  def _targets(
    self, problem: Problem, draw: Draw, inputs: np.ndarray, seed: int
  ) -> dict[str, np.ndarray]:
    """The student's targets for the training flows, per task `[T, classes]`."""
    train = np.asarray(draw.train)
    flows, (_, labels) = problem.flows[train], draw.labelled()
    num_classes: Mapping[str, int] = problem.num_classes
    taught = {}
    for task in MAIN_TASKS:
      target = np.asarray(draw.targets[task])[train]
      taught[task] = np.eye(num_classes[task])[target] * (target >= 0)[:, None]
    names = [name for name in teacher.SOURCES if name in self.parts]
    opinions = teacher.opinions(
      teacher.sources(flows, inputs, names),
      labels,
      num_classes["class"],
      seed,
      hear_neighbours="neighbours" in self.parts,
    )
    taught["class"] = propagation.weighed(opinions, labels) * len(train)
    return taught

  def check(self, parameters: Parameters, input_shape: tuple[int, ...]) -> None:
    forest.check(parameters, *input_shape)
    familiarity.check(parameters, *input_shape)

  def familiarity(self, parameters: Parameters, inputs: jax.Array) -> jax.Array:
    return familiarity.familiarity(parameters, inputs)

  def apply(self, parameters: Parameters, inputs: jax.Array) -> dict[str, jax.Array]:
    answers = forest.answer(parameters, inputs)

    def score(shares: jax.Array) -> jax.Array:
      # A leaf may have no target, for example if its flows have no bandwidth.
      doubted = shares + _DOUBT * jnp.sum(shares, axis=1, keepdims=True) + _LEAST_SHARE
      return log_probabilities(doubted / jnp.sum(doubted, axis=1, keepdims=True))

    return {task: score(answers[task]) for task in self.answered}


def columns(packets: FirstPackets) -> jax.Array:
  """The first k packets as columns for trees, `[N, F]` float32.

  The columns are direction × length and logarithmic inter-arrival time of each packet,
  `encoding.length_counts` of the first sixth, the first half and all of them, and
  `packet_statistics.statistics`.

  Args:
    packets: the first k packets of N flows.
  """
  k = packets.lengths.shape[1]
  parts = [
    packets.directions * packets.lengths,
    encoding.log_inter_arrival_times(packets),
    encoding.length_counts(packets, [-(-k // part) for part in (6, 2, 1)]),
    statistics(packets),
  ]
  return jnp.concatenate([jnp.asarray(p, jnp.float32) for p in parts], axis=1)
