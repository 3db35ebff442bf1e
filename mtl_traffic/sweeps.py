"""Many runs in one program: the training of one run, mapped over R of them.

Whatever differs between runs (seed, split, labels, λ, dividers, learning rate) is an
array with R as leading axis, so a sweep compiles once.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from mtl_traffic import placement, training
from mtl_traffic.errors import DivergedError
from mtl_traffic.training import Assignment, Schedule

_QUERIES_AT_ONCE = 1024


class Model(Protocol):
  """What can be asked: a Flax module, or a method; hashable."""

  def apply(self, parameters: Any, inputs: jax.Array) -> dict[str, jax.Array]:
    """Scores of each task, `[B, classes]`, for the inputs of B flows."""


def fit(
  assignments: Assignment,
  inputs: jax.Array | None,
  *,
  model: nn.Module,
  schedule: Schedule,
  steps_per_epoch: int,
  frozen: tuple[str, ...] = (),
  balancing: str = "sum",
  shortest_prefix: int | None = None,
  together: int | None = None,
  mesh: Mesh | None = None,
  start: Mapping | None = None,
  score: Callable[[Mapping], jax.Array] | None = None,
  on_epoch: Callable[[], None] = lambda: None,
) -> Mapping:
  """Trains R runs, until the last epoch or until all have converged.

  Where the memory does not suffice for as many runs at once, half as many are tried.

  Args:
    assignments: what the runs learn; every array has R as leading axis.
    inputs: `[N, k, 2]`, all flows; shared by the runs. None if each has its own, in
      `assignments`.
    model: gives logits per task.
    schedule: epochs and batch size.
    steps_per_epoch: steps an epoch.
    frozen: see `training.optimizer`.
    balancing: see `balancing.gradient`.
    shortest_prefix: see `training.train_epochs`.
    together: how many runs a device vmaps; by default what suits it.
    mesh: the devices that the runs are laid over, see `placement.runs_mesh`; by
      default all.
    start: parts of the network that start from these parameters, R as leading axis,
      instead of from random ones: `{"trunk": ...}`, say.
    score: gives the runs' variables marks `[R]` after each epoch, on validation flows
      say; each run then ends with those of its best epoch instead of its last.
    on_epoch: called whenever all runs have finished an epoch, or need it no more.

  Returns:
    The trained variables, R as leading axis.

  Raises:
    DivergedError: after an epoch, some runs' parameters are not finite. The others are
      sound, and are what they are without those.
  """
  num_runs = len(assignments.num_members)
  mesh = mesh or placement.mesh_for(num_runs)
  assignments, start = placement.lay_out((assignments, start or {}), mesh)
  inputs = placement.on_all(inputs, mesh)
  input_shape = _input_shape(assignments, inputs)
  network = {"model": model, "frozen": frozen, "balancing": balancing}
  loop = {
    "batch_size": schedule.batch_size,
    "steps_per_epoch": steps_per_epoch,
    "shortest_prefix": shortest_prefix,
  }
  finished = 0

  def attempt(together: int) -> Mapping:
    nonlocal finished
    maps = {"together": together, "mesh": mesh}
    states = _init(
      assignments.key,
      num_tasks=len(assignments.weights),
      input_shape=input_shape,
      **network,
      **maps,
    )
    states = states.replace(params={**states.params, **jax.tree.map(jnp.copy, start)})
    best = None
    for number in range(1, schedule.epochs + 1):
      states, are_finite, has_converged = _train_epochs(
        # On one device JAX tells "laid out" from "on all", and would compile for each.
        placement.lay_out(states, mesh),
        assignments,
        jnp.array([number]),
        inputs,
        **network,
        **loop,
        **maps,
      )
      jax.block_until_ready(states)
      diverged = np.flatnonzero(~np.asarray(are_finite)[:num_runs])
      if diverged.size:
        raise DivergedError(diverged.tolist(), number)
      if score is not None:
        # The next epoch takes the states' memory, so what is kept is a copy.
        variables = jax.tree.map(jnp.copy, placement.first(states.variables, num_runs))
        now = score(variables), variables
        best = now if best is None else _better(best, now)
      has_ended = np.asarray(has_converged)[:num_runs].all()
      while finished < (schedule.epochs if has_ended else number):
        finished += 1
        on_epoch()
      if has_ended:
        break
    if best is not None:
      return best[1]
    return placement.first(states.variables, num_runs)

  if not together:
    together = placement.runs_together(
      math.ceil(num_runs / mesh.size),
      placement.memory(mesh),
      lambda: _memory_of_run(assignments, inputs, mesh, network, loop),
    )
  return placement.with_room(attempt, together)


def predict(
  parameters: Any,
  inputs: jax.Array,
  queries: jax.Array,
  *,
  model: Model,
  together: int | None = None,
  mesh: Mesh | None = None,
) -> dict[str, jax.Array]:
  """Scores that R trained runs give.

  Args:
    parameters: R as leading axis.
    inputs: `[N, ...]`, all flows.
    queries: `[R, Q]`, the flows that each run answers for.
    model: what the parameters are of.
    together: how many runs a device vmaps; by default what suits it.
    mesh: the devices that the runs are laid over, see `placement.runs_mesh`; by
      default all.

  Returns:
    On every device, per task `[R, Q, classes]`.
  """
  num_runs = len(queries)
  mesh = mesh or placement.mesh_for(num_runs)
  parameters, queries = placement.lay_out((parameters, queries), mesh)
  inputs = placement.on_all(inputs, mesh)
  scores = placement.with_room(
    lambda together: jax.block_until_ready(
      _predict(parameters, queries, inputs, model=model, together=together, mesh=mesh)
    ),
    together or placement.runs_together(math.ceil(num_runs / mesh.size)),
  )
  return placement.first(scores, num_runs)


def _input_shape(assignments: Assignment, inputs: jax.Array | None) -> tuple[int, ...]:
  """That of one flow's input."""
  return assignments.inputs.shape[2:] if inputs is None else inputs.shape[1:]


def _memory_of_run(
  assignments: Assignment,
  inputs: jax.Array | None,
  mesh: Mesh,
  network: Mapping,
  loop: Mapping,
) -> int:
  """Bytes that training one run takes, from the program that does it."""
  one = Mesh(mesh.local_devices[:1], mesh.axis_names)

  def shape(leaf, spec):
    size = (1, *leaf.shape[1:]) if spec == placement.LAID_OUT else leaf.shape
    return jax.ShapeDtypeStruct(size, leaf.dtype, sharding=NamedSharding(one, spec))

  def of_run(tree):
    return jax.tree.map(lambda leaf: shape(leaf, placement.LAID_OUT), tree)

  assignments = of_run(assignments)
  maps = {"together": 1, "mesh": one}
  states = jax.eval_shape(
    functools.partial(
      _init,
      num_tasks=len(assignments.weights),
      input_shape=_input_shape(assignments, inputs),
      **network,
      **maps,
    ),
    assignments.key,
  )
  program = _train_epochs.lower(
    of_run(states),
    assignments,
    jax.ShapeDtypeStruct((1,), jnp.int32),
    jax.tree.map(lambda leaf: shape(leaf, placement.ON_ALL), inputs),
    **network,
    **loop,
    **maps,
  ).compile()
  memory = program.memory_analysis()
  shared = sum(leaf.nbytes for leaf in jax.tree.leaves(inputs))
  return memory.argument_size_in_bytes + memory.temp_size_in_bytes - shared


@jax.jit
def _better(best, now):
  is_better = now[0] > best[0]
  return jax.tree.map(
    lambda a, b: jnp.where(is_better.reshape(-1, *[1] * (a.ndim - 1)), a, b), now, best
  )


@functools.partial(
  jax.jit,
  static_argnames=(
    "num_tasks",
    "input_shape",
    "model",
    "frozen",
    "balancing",
    "together",
    "mesh",
  ),
)
def _init(keys, *, input_shape, together, mesh, **static):
  def init(key):
    return training.init_state(key, input_shape, **static)

  return placement.over_runs(init, together, mesh)((keys,))


@functools.partial(
  jax.jit,
  static_argnames=(
    "model",
    "frozen",
    "balancing",
    "batch_size",
    "steps_per_epoch",
    "shortest_prefix",
    "together",
    "mesh",
  ),
  donate_argnames=("states",),
)
def _train_epochs(
  states, assignments, epochs, inputs, *, together, mesh, **static
) -> tuple[training.TrainState, jax.Array, jax.Array]:
  """The states `[R]` after some epochs, and what every device knows of all of them.

  That is whether each is finite, and whether it has converged.
  """

  def run(state, assignment, epochs, inputs):
    state, _ = training.train_epochs(state, epochs, assignment, inputs, **static)
    # A loss that is not finite shows in the parameters, and need not be computed apart.
    numbers = jax.tree.leaves(state.variables)
    return state, jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in numbers]))

  mapped = placement.over_runs(run, together, mesh)
  states, are_finite = mapped((states, assignments), epochs, inputs)
  everywhere = NamedSharding(mesh, placement.ON_ALL)
  known = jax.lax.with_sharding_constraint(
    (are_finite, states.has_converged), everywhere
  )
  return states, *known


@functools.partial(jax.jit, static_argnames=("model", "together", "mesh"))
def _predict(parameters, queries, inputs, *, model, together, mesh):
  def run(parameters, queries, inputs):
    return jax.lax.map(
      lambda query: jax.tree.map(
        lambda scores: scores[0], model.apply(parameters, inputs[query][None])
      ),
      queries,
      batch_size=_QUERIES_AT_ONCE,
    )

  scores = placement.over_runs(run, together, mesh)((parameters, queries), inputs)
  # Every host asks for all of them.
  return jax.lax.with_sharding_constraint(scores, NamedSharding(mesh, placement.ON_ALL))
