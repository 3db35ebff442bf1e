"""The paper's method: one trunk trained on bandwidth, duration and class at once."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from mtl_traffic.balancing import BALANCINGS
from mtl_traffic.draws import Draw
from mtl_traffic.errors import InputError
from mtl_traffic.methods.base import (
  Hyperparameters,
  Parameters,
  Problem,
  Progress,
  Score,
)
from mtl_traffic.methods.network import PacketNetworkMethod
from mtl_traffic.tasks import MAIN_TASKS

MASKS = ("loss", "features")


@dataclasses.dataclass(frozen=True)
class Multitask(PacketNetworkMethod):
  """One trunk, and a head for each task (section IV-D).

  Bandwidth and duration, or other tasks, are learnt from every training flow; the class
  is learnt from the labelled ones, weighted by λ.

  Attributes:
    tasks: what is learnt beside the class; names in `tasks.TASKS`.
    mask: what keeps unlabelled flows out of the class task. "loss" leaves their loss
      out; "features" is the authors' mask on what enters the class head.
    balancing: how the tasks' losses are balanced, see `mtl_traffic.balancing`.
  """

  tasks: tuple[str, ...] = MAIN_TASKS
  mask: str = "loss"
  balancing: str = "sum"

  hyperparameters: ClassVar[tuple[str, ...]] = (
    "lambda_",
    *PacketNetworkMethod.hyperparameters,
  )

  def __post_init__(self):
    if self.mask not in MASKS:
      raise InputError(f"mask: {self.mask!r} is unknown; there are {', '.join(MASKS)}")
    if self.balancing not in BALANCINGS:
      raise InputError(
        f"balancing: {self.balancing!r} is unknown; there are {', '.join(BALANCINGS)}"
      )
    if self.balancing != "sum" and self.mask != "loss":
      raise InputError(
        f"balancing: {self.balancing!r} needs the mask on the 'loss', as a mask on the "
        f"{self.mask!r} adds a loss that is not a task's"
      )

  @property
  def answered(self) -> tuple[str, ...]:
    return (*self.tasks, "class")

  def fit(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    score: Score | None = None,
    progress: Progress = lambda fraction: None,
  ) -> Parameters:
    num_runs, _ = draws.train.shape
    lambdas = jnp.asarray(hyperparameters["lambda_"], jnp.float32)
    tasks = self.answered
    targets = {task: draws.targets[task] for task in tasks}
    weights = dict.fromkeys(self.tasks, jnp.ones(num_runs))
    weights["class"] = lambdas
    network = self.network({task: problem.num_classes[task] for task in tasks})
    if self.mask == "features":
      # A masked flow keeps its class loss, of the head's bias against its true class.
      true = jnp.asarray(problem.flows.classes)
      targets["masked_class"] = jnp.where(targets["class"] < 0, true, -1)
      weights["masked_class"] = lambdas
      network = network.clone(masked_logits=True)
    return self.train(
      problem,
      draws,
      hyperparameters,
      num_members=draws.num_train,
      targets=targets,
      weights=weights,
      network=network,
      balancing=self.balancing,
      score=score,
      on_epoch=self.epochs_of(draws, progress),
    )
