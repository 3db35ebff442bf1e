"""Random forests on statistics of a flow's packets; they learn only the class.

The paper takes its random forest from Aceto et al., *Mobile Encrypted Traffic
Classification Using Deep Learning* (2018).
"""

import dataclasses
from typing import ClassVar

import jax
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
from mtl_traffic.methods.packet_statistics import statistics

_NUM_TREES = 300


@dataclasses.dataclass(frozen=True)
class RandomForestOnline(Method):
  """A forest on the first k packets of the labelled flows, as the networks read."""

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
  """The paper's offline forest, on all stored packets of the labelled flows."""

  reads_whole_flows: ClassVar[bool] = True
