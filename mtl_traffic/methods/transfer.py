"""Transfer learning: bandwidth and duration first, then the class on top.

As the paper compares it (section V-B): a network is trained on the bandwidths and
durations of all training flows, its last layer is replaced, and it is trained again on
the labelled flows.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp

from mtl_traffic import models, sweeps
from mtl_traffic.draws import Draw
from mtl_traffic.methods.base import (
  Hyperparameters,
  Parameters,
  Problem,
  Progress,
  Score,
)
from mtl_traffic.methods.network import PacketNetworkMethod, fold_in
from mtl_traffic.tasks import MAIN_TASKS

_SECOND_STAGE = 2**31  # Beyond the number of any epoch.


@dataclasses.dataclass(frozen=True)
class Transfer(PacketNetworkMethod):
  """A class head that is trained on a trunk which learnt bandwidth and duration."""

  frozen: ClassVar[tuple[str, ...]] = ("trunk",)

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
    on_epoch = self.epochs_of(draws, progress, stages=2)
    pretrained = self.train(
      problem,
      draws,
      hyperparameters,
      num_members=draws.num_train,
      targets={task: draws.targets[task] for task in MAIN_TASKS},
      score=score,
      on_epoch=on_epoch,
    )
    trunk = {"trunk": pretrained["params"]["trunk"]}
    second = {
      "key": fold_in(draws.key, _SECOND_STAGE),
      "num_members": draws.num_labelled,
      "on_epoch": on_epoch,
    }
    # Flows that are cut anew every time they are shown have features of no use later.
    if self.frozen and self.shortest_prefix is None:
      return self._train_head(problem, draws, hyperparameters, trunk, score, second)
    return self.train(
      problem,
      draws,
      hyperparameters,
      targets={"class": draws.targets["class"]},
      frozen=self.frozen,
      start=trunk,
      score=score,
      **second,
    )

  def _train_head(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    trunk: Parameters,
    score: Score | None,
    options: Mapping[str, Any],
  ) -> Parameters:
    """Trains the class head on the labelled flows' features, computed once."""
    labelled = draws.train[:, : int(jnp.max(draws.num_labelled))]
    dtype = jnp.dtype(self.dtype)
    features = sweeps.predict(
      {"params": trunk}, problem.inputs, labelled, model=models.Features(dtype)
    )["features"]

    def whole(head: Parameters) -> Parameters:
      return {**head, "params": {**trunk, **head["params"]}}

    head = self.train(
      problem,
      draws,
      hyperparameters,
      members=jnp.broadcast_to(jnp.arange(labelled.shape[1]), labelled.shape),
      inputs=features,
      targets={"class": jnp.take_along_axis(draws.targets["class"], labelled, axis=1)},
      network=models.Heads((("class", problem.num_classes["class"]),), dtype),
      score=score and (lambda head: score(whole(head))),
      **options,
    )
    return whole(head)


@dataclasses.dataclass(frozen=True)
class TransferFineTuned(Transfer):
  """As `Transfer`, but the trunk is trained on the labelled flows too."""

  frozen: ClassVar[tuple[str, ...]] = ()
