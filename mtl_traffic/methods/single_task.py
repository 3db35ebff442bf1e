"""The baseline without other tasks: the same network, learning the class alone."""

import dataclasses

from mtl_traffic.draws import Draw
from mtl_traffic.methods.base import (
  Hyperparameters,
  Parameters,
  Problem,
  Progress,
  Score,
)
from mtl_traffic.methods.network import OneTaskNetworkMethod


@dataclasses.dataclass(frozen=True)
class SingleTask(OneTaskNetworkMethod):
  """A network that learns the class, from the labelled flows alone."""

  @property
  def answered(self) -> tuple[str, ...]:
    return ("class",)

  def fit(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    score: Score | None = None,
    progress: Progress = lambda fraction: None,
  ) -> Parameters:
    return self.train(
      problem,
      draws,
      hyperparameters,
      num_members=draws.num_labelled,
      targets={"class": draws.targets["class"]},
      score=score,
      on_epoch=self.epochs_of(draws, progress),
    )
