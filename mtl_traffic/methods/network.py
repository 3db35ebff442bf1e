"""What the methods that train networks share: the encoding, the schedule, the fit."""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtl_traffic import encoding, models, sweeps
from mtl_traffic.draws import Draw
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.methods.base import (
  Hyperparameters,
  Method,
  Parameters,
  Problem,
  Score,
)
from mtl_traffic.training import Assignment, Schedule


@dataclasses.dataclass(frozen=True)
class NetworkMethod(Method):
  """A method whose parameters are the variables of a Flax network.

  Attributes:
    epochs: passes over the training flows.
    batch_size: flows a step.
    dtype: what the network computes in.
  """

  epochs: int = 20
  batch_size: int = 64
  dtype: str = "float32"

  hyperparameters: ClassVar[tuple[str, ...]] = ("learning_rate", "clip_norm")
  fits_together: ClassVar[bool] = True

  @abc.abstractmethod
  def network(self, heads: Mapping[str, int]) -> nn.Module:
    """The network with a head for each task, of so many classes."""

  def apply(self, parameters: Parameters, inputs: jax.Array) -> dict[str, jax.Array]:
    return self.network(_heads(parameters)).apply(parameters, inputs)

  def train(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    num_members: jax.Array,
    targets: Mapping[str, jax.Array],
    members: jax.Array | None = None,
    inputs: jax.Array | None = None,
    key: jax.Array | None = None,
    weights: Mapping[str, jax.Array] | None = None,
    network: nn.Module | None = None,
    frozen: tuple[str, ...] = (),
    balancing: str = "sum",
    start: Mapping | None = None,
    score: Score | None = None,
    on_epoch: Callable[[], None] = lambda: None,
  ) -> Parameters:
    """Trains R networks, with as many steps as an epoch of all training flows has.

    Whoever learns from a few labelled flows takes as many steps as whoever learns from
    all training flows, so that none is flattered.

    Args:
      problem: what the runs share.
      draws: R draws, whose training flows are the members of `training.Assignment`.
      hyperparameters: `[R]` "learning_rate" and "clip_norm".
      num_members: `[R]`, of how many of them to learn, from the first.
      targets: per task `[R, N]`.
      members: `[R, M]`, the flows to learn from; the draws' training flows by default.
      inputs: `[R, N, ...]`, what each run's network reads; by default all read
        `problem.inputs`.
      key: `[R]` random keys; the draws' by default.
      weights: per task `[R]`; 1 for each task of `targets` by default.
      network: by default that with a head for each task of `targets`.
      frozen: see `training.optimizer`.
      balancing: see `balancing.gradient`.
      start: see `sweeps.fit`.
      score: see `sweeps.fit`.
      on_epoch: called whenever all runs have finished an epoch.
    """
    if weights is None:
      weights = dict.fromkeys(targets, jnp.ones(len(num_members)))
    schedule = self.schedule(draws)
    return sweeps.fit(
      Assignment(
        key=draws.key if key is None else key,
        members=draws.train if members is None else members,
        num_members=num_members,
        targets=dict(targets),
        weights=dict(weights),
        **{
          name: jnp.asarray(hyperparameters[name], jnp.float32)
          for name in NetworkMethod.hyperparameters
        },
        inputs=inputs,
      ),
      problem.inputs if inputs is None else None,
      model=network
      or self.network({task: problem.num_classes[task] for task in targets}),
      schedule=schedule,
      steps_per_epoch=schedule.steps_per_epoch(draws.epoch_size),
      frozen=frozen,
      balancing=balancing,
      shortest_prefix=getattr(self, "shortest_prefix", None),
      start=start,
      score=score,
      on_epoch=on_epoch,
    )

  def schedule(self, draws: Draw) -> Schedule:
    """How long to train on the draws."""
    del draws
    return Schedule(self.epochs, self.batch_size)

  def epochs_of(
    self, draws: Draw, progress: Callable[[float], None], stages: int = 1
  ) -> Callable[[], None]:
    """What to call at each epoch of some stages of equal length."""
    done, total = 0, stages * self.schedule(draws).epochs

    def on_epoch() -> None:
      nonlocal done
      done += 1
      progress(done / total)

    return on_epoch


@dataclasses.dataclass(frozen=True)
class PacketNetworkMethod(NetworkMethod):
  """A network on the paper's encoding, a place for each packet.

  Attributes:
    iat_range: see `encoding.encode`.
    signed_lengths: see `encoding.encode`.
    shortest_prefix: see `training.train_epochs`.
  """

  iat_range: tuple[float, float] = (0.0, 1.0)
  signed_lengths: bool = True
  shortest_prefix: int | None = None

  learns_prefixes: ClassVar[bool] = True
  least_k: ClassVar[int] = models.FEWEST_PACKETS

  def network(self, heads: Mapping[str, int]) -> nn.Module:
    return models.MultitaskCNN(models.heads_of(heads), jnp.dtype(self.dtype))

  def inputs(self, packets: FirstPackets) -> jax.Array:
    return encoding.encode(
      packets, iat_range=self.iat_range, signed_lengths=self.signed_lengths
    )


@dataclasses.dataclass(frozen=True)
class OneTaskNetworkMethod(PacketNetworkMethod):
  """A method whose networks learn one task each.

  On a small dataset `epochs` have too few steps for them. Networks of several tasks do
  not take more: with few labels they get worse.

  Attributes:
    least_steps: if `epochs` have fewer steps than this in all, there are more epochs.
  """

  least_steps: int = 1900

  def schedule(self, draws: Draw) -> Schedule:
    schedule = super().schedule(draws)
    least = math.ceil(self.least_steps / schedule.steps_per_epoch(draws.epoch_size))
    return dataclasses.replace(schedule, epochs=max(schedule.epochs, least))


@functools.partial(jax.vmap, in_axes=(0, None))
def fold_in(keys: jax.Array, number: int) -> jax.Array:
  """Keys `[R]` of a further stage of training; no epoch has so large a number."""
  return jax.random.fold_in(keys, number)


def _heads(parameters: Parameters) -> dict[str, int]:
  """The tasks and their numbers of classes, which the heads' parameters tell."""
  return {
    name.removesuffix("_head"): part["bias"].shape[-1]
    for name, part in parameters["params"].items()
    if name.endswith("_head")
  }
