"""Many runs in one program: the training of one run, mapped over R of them.

Whatever differs between runs (seed, split, labels, λ, dividers) is an array with R as
leading axis, so a sweep compiles once. The runs are laid over all devices, of all hosts
that `jax.distributed` joined: nothing passes between runs, so none waits for another.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mtl_traffic import training
from mtl_traffic.training import Assignment, Schedule

_QUERIES_AT_ONCE = 1024
_OF_MEMORY = 0.8  # The rest is for what is not counted, and for fragments.
_LAID_OUT, _ON_ALL = PartitionSpec("runs"), PartitionSpec()

_T = TypeVar("_T")


def runs_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh whose one axis, "runs", goes over the devices, by default over all."""
  return Mesh(np.array(jax.devices() if devices is None else devices), ("runs",))


def over_runs(function: Callable, together: int, mesh: Mesh) -> Callable:
  """Maps a function over the runs, which are laid over the devices of a mesh.

  Args:
    function: of the arguments of one run, and of what all runs share.
    together: how many runs a device vmaps; such groups go one after another.
    mesh: see `runs_mesh`.

  Returns:
    A function of a tuple of arguments with R as leading axis, a multiple of the mesh's
    size, and of what all runs share.
  """
  # One at a time stays unbatched: a batch of one is a slower matrix product.
  size = None if together == 1 else together

  def of_device(runs, *shared):
    return jax.lax.map(lambda run: function(*run, *shared), runs, batch_size=size)

  def mapped(runs, *shared):
    return jax.shard_map(
      of_device,
      mesh=mesh,
      in_specs=(_LAID_OUT, *(_ON_ALL for _ in shared)),
      out_specs=_LAID_OUT,
      # Only says of what is the same on all devices that it is.
      check_vma=False,
    )(runs, *shared)

  return mapped


def runs_together(
  num_runs: int,
  memory: int | None = None,
  memory_of_run: Callable[[], int] = lambda: 0,
) -> int:
  """How many of a device's runs to vmap where nobody said.

  On a CPU one run's matrix products occupy the cores, and one run's activations stay
  in the cache while many runs' do not; an accelerator wants as many as it can hold.

  Args:
    num_runs: of the device.
    memory: bytes that an accelerator has; None on a CPU, or if it does not tell.
    memory_of_run: called for the bytes that one run needs.
  """
  if jax.default_backend() == "cpu":
    return 1
  if memory is None:
    return num_runs
  needed = memory_of_run()
  together = max(1, min(num_runs, int(_OF_MEMORY * memory / max(1, needed))))
  logging.info(
    "%d of %d runs of a device at once: one needs %.0f MB, the device has %.0f MB",
    together,
    num_runs,
    needed / 1e6,
    memory / 1e6,
  )
  return together


def out_of_memory(error: Exception) -> bool:
  """Whether the error says that a device, or the host, had no memory left."""
  return isinstance(error, MemoryError) or (
    isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
  )


def fit(
  assignments: Assignment,
  inputs: jax.Array,
  *,
  model: nn.Module,
  schedule: Schedule,
  steps_per_epoch: int,
  together: int | None = None,
  mesh: Mesh | None = None,
  start: Mapping | None = None,
  score: Callable[[Mapping], jax.Array] | None = None,
  on_epoch: Callable[[], None] = lambda: None,
) -> Mapping:
  """Trains R runs.

  Where the memory does not suffice for as many runs at once, half as many are tried.

  Args:
    assignments: what the runs learn; every array has R as leading axis.
    inputs: `[N, k, 2]`, all flows; shared by the runs.
    model: gives logits per task.
    schedule: epochs, batch size, optimiser.
    steps_per_epoch: steps an epoch.
    together: how many runs a device vmaps; by default what suits it.
    mesh: the devices that the runs are laid over, see `runs_mesh`; by default all.
    start: parts of the network that start from these parameters, R as leading axis,
      instead of from random ones: `{"trunk": ...}`, say.
    score: gives the runs' variables marks `[R]` after each epoch, on validation flows
      say; each run then ends with those of its best epoch instead of its last.
    on_epoch: called whenever all runs have finished an epoch.

  Returns:
    The trained variables, R as leading axis.
  """
  num_runs = len(assignments.num_members)
  mesh = mesh or _mesh_for(num_runs)
  assignments, start = _lay_out((assignments, start or {}), mesh)
  inputs = _put(inputs, NamedSharding(mesh, _ON_ALL))
  static = {"model": model, "schedule": schedule}
  finished = 0

  def attempt(together: int) -> Mapping:
    nonlocal finished
    maps = {"together": together, "mesh": mesh}
    states = _init(assignments.key, input_shape=inputs.shape[1:], **static, **maps)
    states = states.replace(params={**states.params, **jax.tree.map(jnp.copy, start)})
    best = None
    for number in range(1, schedule.epochs + 1):
      states = _train_epochs(
        # On one device JAX tells "laid out" from "on all", and would compile for each.
        _lay_out(states, mesh),
        assignments,
        jnp.array([number]),
        inputs,
        steps_per_epoch=steps_per_epoch,
        **static,
        **maps,
      )
      jax.block_until_ready(states)
      if score is not None:
        # The next epoch takes the states' memory, so what is kept is a copy.
        variables = jax.tree.map(jnp.copy, _first(states.variables, num_runs))
        now = score(variables), variables
        best = now if best is None else _better(best, now)
      if number > finished:
        finished = number
        on_epoch()
    return _first(states.variables, num_runs) if best is None else best[1]

  if not together:
    together = runs_together(
      math.ceil(num_runs / mesh.size),
      _memory(mesh),
      lambda: _memory_of_run(
        assignments, inputs, mesh, steps_per_epoch=steps_per_epoch, **static
      ),
    )
  return _with_room(attempt, together)


def predict(
  variables: Mapping,
  inputs: jax.Array,
  queries: jax.Array,
  *,
  model: nn.Module,
  together: int | None = None,
  mesh: Mesh | None = None,
) -> dict[str, jax.Array]:
  """Logits of R trained runs.

  Args:
    variables: R as leading axis.
    inputs: `[N, k, 2]`, all flows.
    queries: `[R, Q]`, the flows that each run answers for.
    model: gives logits per task.
    together: how many runs a device vmaps; by default what suits it.
    mesh: the devices that the runs are laid over, see `runs_mesh`; by default all.

  Returns:
    On every device, per task `[R, Q, classes]`.
  """
  num_runs = len(queries)
  mesh = mesh or _mesh_for(num_runs)
  variables, queries = _lay_out((variables, queries), mesh)
  inputs = _put(inputs, NamedSharding(mesh, _ON_ALL))
  logits = _with_room(
    lambda together: jax.block_until_ready(
      _predict(variables, queries, inputs, model=model, together=together, mesh=mesh)
    ),
    together or runs_together(math.ceil(num_runs / mesh.size)),
  )
  return _first(logits, num_runs)


def _mesh_for(num_runs: int) -> Mesh:
  """All devices, or as many as there are runs: others would only repeat one.

  Devices of several hosts are all taken, as each host has to be in the program.
  """
  devices = jax.devices()
  return runs_mesh(devices if jax.process_count() > 1 else devices[:num_runs])


def _lay_out(tree: Any, mesh: Mesh) -> Any:
  """Lays runs over the devices; copies of the first fill up the last device."""

  def lay_out(leaf: jax.Array) -> jax.Array:
    missing = -len(leaf) % mesh.size
    if missing:
      leaf = jnp.concatenate([leaf, *[leaf[:1]] * missing])
    return _put(leaf, NamedSharding(mesh, _LAID_OUT))

  return jax.tree.map(lay_out, tree)


def _first(tree: Any, num_runs: int) -> Any:
  """Without the copies that `_lay_out` added."""
  return jax.tree.map(lambda leaf: leaf[:num_runs], tree)


def _put(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
  """`jax.device_put`, which for devices of other hosts takes plain arrays alone."""
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    data = _put(jax.random.key_data(leaf), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
  if jax.process_count() > 1 and getattr(leaf, "is_fully_addressable", True):
    leaf = np.asarray(leaf)
  return jax.device_put(leaf, sharding)


def _with_room(attempt: Callable[[int], _T], together: int) -> _T:
  """Attempts it with fewer runs together until the memory suffices."""
  while True:
    try:
      return attempt(together)
    except Exception as error:
      if not out_of_memory(error) or together == 1:
        raise
    together //= 2
    logging.warning("out of memory; trying with %d runs of a device at once", together)


def _memory(mesh: Mesh) -> int | None:
  """Bytes that a device of the mesh has, if it tells."""
  return (mesh.local_devices[0].memory_stats() or {}).get("bytes_limit")


def _memory_of_run(assignments, inputs, mesh, **static) -> int:
  """Bytes that training one run takes, from the program that does it."""
  one = Mesh(mesh.local_devices[:1], mesh.axis_names)

  def shape(leaf, spec):
    size = (1, *leaf.shape[1:]) if spec == _LAID_OUT else leaf.shape
    return jax.ShapeDtypeStruct(size, leaf.dtype, sharding=NamedSharding(one, spec))

  assignments = jax.tree.map(lambda leaf: shape(leaf, _LAID_OUT), assignments)
  maps = {"together": 1, "mesh": one}
  init = {name: static[name] for name in ("model", "schedule")}
  states = jax.eval_shape(
    functools.partial(_init, input_shape=inputs.shape[1:], **init, **maps),
    assignments.key,
  )
  program = _train_epochs.lower(
    jax.tree.map(lambda leaf: shape(leaf, _LAID_OUT), states),
    assignments,
    jax.ShapeDtypeStruct((1,), jnp.int32),
    shape(inputs, _ON_ALL),
    **static,
    **maps,
  ).compile()
  memory = program.memory_analysis()
  return memory.argument_size_in_bytes + memory.temp_size_in_bytes - inputs.nbytes


@jax.jit
def _better(best, now):
  is_better = now[0] > best[0]
  return jax.tree.map(
    lambda a, b: jnp.where(is_better.reshape(-1, *[1] * (a.ndim - 1)), a, b), now, best
  )


@functools.partial(
  jax.jit, static_argnames=("input_shape", "model", "schedule", "together", "mesh")
)
def _init(keys, *, input_shape, model, schedule, together, mesh):
  def init(key):
    return training.init_state(key, input_shape, model=model, schedule=schedule)

  return over_runs(init, together, mesh)((keys,))


@functools.partial(
  jax.jit,
  static_argnames=("model", "schedule", "steps_per_epoch", "together", "mesh"),
  donate_argnames=("states",),
)
def _train_epochs(
  states,
  assignments,
  epochs,
  inputs,
  *,
  model,
  schedule,
  steps_per_epoch,
  together,
  mesh,
):
  def run(state, assignment, epochs, inputs):
    state, _ = training.train_epochs(
      state,
      epochs,
      assignment,
      inputs,
      model=model,
      schedule=schedule,
      steps_per_epoch=steps_per_epoch,
    )
    return state

  return over_runs(run, together, mesh)((states, assignments), epochs, inputs)


@functools.partial(jax.jit, static_argnames=("model", "together", "mesh"))
def _predict(variables, queries, inputs, *, model, together, mesh):
  def run(variables, queries, inputs):
    return jax.lax.map(
      lambda query: jax.tree.map(
        lambda logits: logits[0], model.apply(variables, inputs[query][None])
      ),
      queries,
      batch_size=_QUERIES_AT_ONCE,
    )

  logits = over_runs(run, together, mesh)((variables, queries), inputs)
  # Every host asks for all of them.
  return jax.lax.with_sharding_constraint(logits, NamedSharding(mesh, _ON_ALL))
