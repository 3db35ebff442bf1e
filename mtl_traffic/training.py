"""Training one run: pure functions of arrays, to be mapped over many runs."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from mtl_traffic import balancing as balancings
from mtl_traffic import encoding, losses

# A run has converged when, over epochs in a row of so many steps in all, the mean
# losses of its tasks, of the flows that have a target, are below this. Whatever network
# it is, it then keeps its parameters. The steps are for the running means of batch
# normalisation, which follow the parameters with a delay of a hundred steps.
CONVERGED_LOSS = 1e-4
CONVERGED_STEPS = 250


@dataclasses.dataclass(frozen=True)
class Schedule:
  """How long a run is trained; static, as it decides what is compiled.

  Attributes:
    epochs: passes over the training flows.
    batch_size: flows a step.
  """

  epochs: int = 20
  batch_size: int = 64

  def steps_per_epoch(self, num_flows: int) -> int:
    return math.ceil(num_flows / self.batch_size)


def optimizer(
  learning_rate: float | jax.Array = 1e-3,
  clip_norm: float | jax.Array = 1.0,
  frozen: Sequence[str] = (),
) -> optax.GradientTransformation:
  """Adam on a gradient that is clipped by its norm over all parameters.

  Args:
    learning_rate: Adam's; may be traced.
    clip_norm: the largest norm of a step's gradient; may be traced.
    frozen: the parts of the network ("trunk", say) that keep their parameters.
  """
  adam = optax.chain(optax.clip_by_global_norm(clip_norm), optax.adam(learning_rate))
  if not frozen:
    return adam
  return optax.partition(
    {"trained": adam, "frozen": optax.set_to_zero()},
    lambda params: {part: "frozen" if part in frozen else "trained" for part in params},
  )


@struct.dataclass
class Assignment:
  """What one run learns, of N flows.

  Attributes:
    key: random key of the run.
    members: `[M]` int32, the flows to train on.
    num_members: how many of those to use, from the first; may be traced.
    targets: per task `[N]` int32, −1 = none.
    weights: per task its weight in the loss.
    learning_rate: Adam's.
    clip_norm: the largest norm of a step's gradient over all parameters.
    inputs: `[N, ...]`, what the network reads of the flows; None = what all runs share.
  """

  key: jax.Array
  members: jax.Array
  num_members: jax.Array
  targets: dict[str, jax.Array]
  weights: dict[str, jax.Array]
  learning_rate: jax.Array
  clip_norm: jax.Array
  inputs: jax.Array | None = None


@struct.dataclass
class TrainState:
  """Where training stands.

  Attributes:
    params: what is trained: the network's parameters, and those of a balancing.
    batch_stats: running statistics of normalisation layers; empty without such.
    opt_state: the optimiser's.
    steps_below: those of the epochs in a row up to now with losses below
      `CONVERGED_LOSS`, int32.
  """

  params: Mapping
  batch_stats: Mapping
  opt_state: optax.OptState
  steps_below: jax.Array

  @property
  def has_converged(self) -> jax.Array:
    """Whether nothing is left to learn, bool."""
    return self.steps_below >= CONVERGED_STEPS

  @property
  def variables(self) -> dict[str, Mapping]:
    """What `model.apply` takes."""
    params = {
      part: of_part
      for part, of_part in self.params.items()
      if part != balancings.LOG_VARIANCES
    }
    return {"params": params, "batch_stats": self.batch_stats}


def init_state(
  key: jax.Array,
  input_shape: tuple[int, ...],
  *,
  model: nn.Module,
  frozen: Sequence[str] = (),
  balancing: str = "sum",
  num_tasks: int = 0,
) -> TrainState:
  """A fresh model and optimiser for inputs of `input_shape`, `(k, 2)`.

  Args:
    key: the run's key; epochs fold their number, from 1 on, into the same key.
    input_shape: of one flow's input.
    model: the network.
    frozen: see `optimizer`.
    balancing: see `balancing.gradient`.
    num_tasks: tasks that have a weight in the loss; only some balancings ask.
  """
  init_key = jax.random.fold_in(key, 0)
  variables = model.init(init_key, jnp.zeros((1, *input_shape)))
  params = {**variables["params"], **balancings.parameters(balancing, num_tasks)}
  return TrainState(
    params=params,
    batch_stats=variables.get("batch_stats", {}),
    opt_state=optimizer(frozen=frozen).init(params),
    steps_below=jnp.array(0),
  )


@functools.partial(jax.jit, static_argnames=("model", "frozen", "balancing"))
def train_step(
  state: TrainState,
  inputs: jax.Array,
  targets: Mapping[str, jax.Array | np.ndarray],
  weights: Mapping[str, jax.Array | float],
  learning_rate: float | jax.Array = 1e-3,
  clip_norm: float | jax.Array = 1.0,
  key: jax.Array | None = None,
  *,
  model: nn.Module,
  frozen: tuple[str, ...] = (),
  balancing: str = "sum",
) -> tuple[TrainState, dict[str, jax.Array]]:
  """One step of the multi-task objective.

  Args:
    state: where training stands.
    inputs: `[B, k, 2]`.
    targets: per task `[B]` int, −1 = none.
    weights: per task its weight, λ for "class".
    learning_rate: Adam's.
    clip_norm: the largest norm of the gradient over all parameters.
    key: random key of the step, for balancings that are random.
    model: called as `model(inputs, train=True)`, gives logits per task.
    frozen: see `optimizer`; the same as in `init_state`.
    balancing: see `balancing.gradient`; the same as in `init_state`.

  Returns:
    The new state, and each task's mean loss before weighting.
  """

  def weighted_losses(params):
    logits, changed = model.apply(
      {"params": params, "batch_stats": state.batch_stats},
      inputs,
      train=True,
      mutable=["batch_stats"],
    )
    _, parts = losses.multitask_loss(logits, targets, weights)
    weighted = jnp.stack([weights[task] * parts[task] for task in weights])
    return weighted, (parts, changed.get("batch_stats", {}))

  gradient, (parts, batch_stats) = balancings.gradient(
    balancing, weighted_losses, state.params, key
  )
  updates, opt_state = optimizer(learning_rate, clip_norm, frozen).update(
    gradient, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, updates)
  state = dataclasses.replace(
    state, params=params, batch_stats=batch_stats, opt_state=opt_state
  )
  return state, parts


def shuffled_walk(
  key: jax.Array, members: jax.Array, num_members: jax.Array, length: int
) -> jax.Array:
  """Walks through the first `num_members` members, shuffled anew each time round.

  Args:
    key: random key.
    members: `[M]`.
    num_members: how many of them to use; may be traced.
    length: how far to walk.

  Returns:
    `[length]`: every member once before any comes twice.
  """
  steps = jnp.arange(length)
  order = jnp.lexsort((jax.random.bits(key, (length,)), steps // num_members))
  return members[(steps % num_members)[order]]


def train_epochs(
  state: TrainState,
  epochs: jax.Array,
  assignment: Assignment,
  inputs: jax.Array | None,
  *,
  model: nn.Module,
  batch_size: int,
  steps_per_epoch: int,
  frozen: tuple[str, ...] = (),
  balancing: str = "sum",
  shortest_prefix: int | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
  """Trains through the given epochs in one `lax.scan`.

  An epoch's batches follow from the run's key and the epoch's number alone, so it makes
  no difference in how many calls the epochs are made. A run that has converged skips
  what is left; mapped one run after the other, it then costs nothing.

  Args:
    state: where training stands.
    epochs: `[E]` int32, numbers of the epochs, from 1 on.
    assignment: what the run learns.
    inputs: `[N, k, 2]`, all flows; None if the assignment has them.
    model: gives logits per task.
    batch_size: flows a step.
    steps_per_epoch: steps an epoch.
    frozen: see `optimizer`.
    balancing: see `balancing.gradient`.
    shortest_prefix: if given, every time a flow is shown it is cut after a random
      number of packets from this to k, so that the model can answer before the k-th.

  Returns:
    The new state, and per task `[E]` the mean loss of each epoch over the flows that
    have a target, before weighting; NaN of an epoch that was skipped.
  """

  known = assignment.inputs if inputs is None else inputs
  if known is None:
    raise ValueError("neither the runs' shared inputs nor the run's own are given")

  def step(state: TrainState, batch: tuple[jax.Array | None, ...]):
    flows, prefixes, key = batch
    targets = {task: assignment.targets[task][flows] for task in assignment.weights}
    shown = known[flows]
    if prefixes is not None:
      shown = encoding.cut(shown, prefixes)
    return train_step(
      state,
      shown,
      targets,
      assignment.weights,
      assignment.learning_rate,
      assignment.clip_norm,
      key,
      model=model,
      frozen=frozen,
      balancing=balancing,
    )

  def epoch(state: TrainState, number: jax.Array):
    key = jax.random.fold_in(assignment.key, number)
    walk = shuffled_walk(
      key,
      assignment.members,
      assignment.num_members,
      steps_per_epoch * batch_size,
    )
    batches = walk.reshape(steps_per_epoch, batch_size)
    prefixes = None
    if shortest_prefix is not None:
      prefixes = jax.random.randint(
        jax.random.fold_in(key, 0),
        batches.shape,
        shortest_prefix,
        known.shape[1] + 1,
      )
    keys = jax.random.split(jax.random.fold_in(key, 1), steps_per_epoch)
    state, parts = jax.lax.scan(step, state, (batches, prefixes, keys))
    # A part is a mean over the whole batches; a task that no flow has is learnt.
    parts = {
      task: jnp.sum(part)
      * batch_size
      / jnp.maximum(jnp.sum(assignment.targets[task][walk] >= 0), 1)
      for task, part in parts.items()
    }
    is_below = jnp.all(jnp.stack(list(parts.values())) < CONVERGED_LOSS)
    steps_below = jnp.where(is_below, state.steps_below + steps_per_epoch, 0)
    return dataclasses.replace(state, steps_below=steps_below), parts

  def skip(state: TrainState, number: jax.Array):
    del number
    return state, dict.fromkeys(assignment.weights, jnp.nan)

  def epoch_if_needed(state: TrainState, number: jax.Array):
    return jax.lax.cond(state.has_converged, skip, epoch, state, number)

  return jax.lax.scan(epoch_if_needed, state, epochs)
