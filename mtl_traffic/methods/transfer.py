"""Transfer learning: bandwidth and duration first, then the class on top.

As the paper compares it (section V-B): a network is trained on the bandwidths and
durations of all training flows, its last layer is replaced, and it is trained again on
the labelled flows.
"""

import dataclasses
from typing import ClassVar

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
    on_epoch = self.epochs_of(progress, stages=2)
    pretrained = self.train(
      problem,
      draws,
      hyperparameters,
      num_members=draws.num_train,
      targets={task: draws.targets[task] for task in MAIN_TASKS},
      score=score,
      on_epoch=on_epoch,
    )
    return self.train(
      problem,
      draws,
      hyperparameters,
      key=fold_in(draws.key, _SECOND_STAGE),
      num_members=draws.num_labelled,
      targets={"class": draws.targets["class"]},
      frozen=self.frozen,
      start={"trunk": pretrained["params"]["trunk"]},
      score=score,
      on_epoch=on_epoch,
    )


@dataclasses.dataclass(frozen=True)
class TransferFineTuned(Transfer):
  """As `Transfer`, but the trunk is trained on the labelled flows too."""

  frozen: ClassVar[tuple[str, ...]] = ()
