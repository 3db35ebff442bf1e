"""Distributes runs over devices, and chooses how many runs a device vmaps.

All devices of all hosts that `jax.distributed` joined are used. Runs do not
communicate, so none waits for another.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec

LAID_OUT, ON_ALL = PartitionSpec("runs"), PartitionSpec()
_OF_MEMORY = 0.8  # Share of memory for runs; the rest is for buffers not counted here.

_T = TypeVar("_T")


def runs_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh of the devices (by default all) with a single axis, "runs"."""
  return Mesh(np.array(jax.devices() if devices is None else devices), ("runs",))


def mesh_for(num_runs: int) -> Mesh:
  """A mesh of all devices, or of as many as there are runs.

  With several hosts all devices are used, because every host must run the program.
  """
  devices = jax.devices()
  return runs_mesh(devices if jax.process_count() > 1 else devices[:num_runs])


def over_runs(function: Callable, together: int, mesh: Mesh) -> Callable:
  """Maps a function over runs that are distributed over the devices of a mesh.

  Args:
    function: takes the arguments of one run, then those that all runs share.
    together: how many runs a device vmaps; it takes such groups one after another.
    mesh: see `runs_mesh`.

  Returns:
    A function of a tuple of arguments with leading axis R, a multiple of the mesh's
    size, followed by the shared arguments.
  """
  # Single runs are not vmapped: matrix products with a batch axis of 1 are slower.
  size = None if together == 1 else together

  def of_device(runs, *shared):
    return jax.lax.map(lambda run: function(*run, *shared), runs, batch_size=size)

  def mapped(runs, *shared):
    return jax.shard_map(
      of_device,
      mesh=mesh,
      in_specs=(LAID_OUT, *(ON_ALL for _ in shared)),
      out_specs=LAID_OUT,
      # JAX's check needs annotations of values that all devices share.
      check_vma=False,
    )(runs, *shared)

  return mapped


def lay_out(tree: Any, mesh: Mesh) -> Any:
  """Distributes runs over the devices; copies of the first run fill the last device."""

  def of_leaf(leaf: jax.Array) -> jax.Array:
    missing = -len(leaf) % mesh.size
    if missing:
      leaf = jnp.concatenate([leaf, *[leaf[:1]] * missing])
    return _put(leaf, NamedSharding(mesh, LAID_OUT))

  return jax.tree.map(of_leaf, tree)


def on_all(tree: Any, mesh: Mesh) -> Any:
  """Copies arrays that all runs share to every device."""
  return jax.tree.map(lambda leaf: _put(leaf, NamedSharding(mesh, ON_ALL)), tree)


def first(tree: Any, num_runs: int) -> Any:
  """Removes the copies that `lay_out` added."""
  return jax.tree.map(lambda leaf: leaf[:num_runs], tree)


def _put(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
  """`jax.device_put`; for devices of other hosts it only accepts NumPy arrays."""
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    data = _put(jax.random.key_data(leaf), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
  if jax.process_count() > 1 and getattr(leaf, "is_fully_addressable", True):
    leaf = np.asarray(leaf)
  return jax.device_put(leaf, sharding)


def runs_together(
  num_runs: int,
  memory: int | None = None,
  memory_of_run: Callable[[], int] = lambda: 0,
) -> int:
  """How many of a device's runs to vmap by default.

  A CPU trains one run at a time: its matrix products use all cores, and its activations
  fit the cache. An accelerator vmaps as many runs as its memory holds.

  Args:
    num_runs: the number of runs of the device.
    memory: memory of the accelerator in bytes; None on a CPU, or if unknown.
    memory_of_run: returns the bytes that one run needs.
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


def memory(mesh: Mesh) -> int | None:
  """Memory of a device of the mesh in bytes; None if unknown."""
  return (mesh.local_devices[0].memory_stats() or {}).get("bytes_limit")


def out_of_memory(error: Exception) -> bool:
  """Whether the error means that a device or the host ran out of memory."""
  return isinstance(error, MemoryError) or (
    isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
  )


def with_room(attempt: Callable[[int], _T], size: int) -> _T:
  """Calls a function; halves the number of runs each time it runs out of memory.

  Args:
    attempt: called with a number of runs.
    size: the first number.
  """
  while True:
    try:
      return attempt(size)
    except Exception as error:
      if not out_of_memory(error) or size == 1:
        raise
    size = -(-size // 2)
    logging.warning("out of memory; trying with %d runs at once", size)
