"""A simple baseline: predicts the label of the most similar flow."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic import encoding
from mtl_traffic.draws import Draw
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.methods.base import (
  Hyperparameters,
  Method,
  Parameters,
  Problem,
  Progress,
  Score,
  fit_each,
)

_NOWHERE = 1e9  # The distance to a class without labelled flows.


@dataclasses.dataclass(frozen=True)
class NearestNeighbor(Method):
  """Predicts the class of the labelled flow whose first lengths are closest.

  The distance is L1 on direction × length. There is no training: the parameters are the
  labelled flows. The score of a class is minus the distance to its closest flow.

  Attributes:
    signed_lengths: see `encoding.encode`.
    num_packets: how many lengths it compares, if k is not smaller.
  """

  signed_lengths: bool = True

  num_packets: ClassVar[int] = 10
  is_random: ClassVar[bool] = False

  @property
  def answered(self) -> tuple[str, ...]:
    return ("class",)

  def inputs(self, packets: FirstPackets) -> jax.Array:
    encoded = encoding.encode(packets, signed_lengths=self.signed_lengths)
    return encoded[:, : self.num_packets, 1]

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
      of_class = np.arange(problem.num_classes["class"])[:, None] == classes
      return {"inputs": problem.inputs[labelled], "of_class": of_class}

    return fit_each(fit_one, draws, progress)

  def apply(self, parameters: Parameters, inputs: jax.Array) -> dict[str, jax.Array]:
    of_class = parameters["of_class"]

    def one_flow(lengths: jax.Array) -> jax.Array:
      distances = jnp.sum(jnp.abs(parameters["inputs"] - lengths), axis=1)
      return -jnp.min(jnp.where(of_class, distances, _NOWHERE), axis=1)

    return {"class": jax.lax.map(one_flow, inputs)}


@dataclasses.dataclass(frozen=True)
class NearestNeighbor30Packets(NearestNeighbor):
  """The same on thirty lengths instead of ten."""

  num_packets: ClassVar[int] = 30
