"""Bandwidth and duration as classes (section IV-C and Table I of the paper).

Class c of a task holds the values v with `dividers[c − 1] ≤ v < dividers[c]`. Table I
leaves equality open; here a value on a divider belongs to the class above it.
"""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray
NO_TARGET = -1  # The flow has no target and counts neither in loss nor in accuracy.


def bandwidths(num_bytes: Array, durations: Array) -> jax.Array:
  """Average bandwidth of whole flows in bytes/s, `[N]`; NaN where the duration is 0.

  Args:
    num_bytes: `[N]` bytes.
    durations: `[N]` s. A flow of 0 s (a single packet, say) has no bandwidth.

  Examples:
    >>> bandwidths(jnp.array([1000, 500]), jnp.array([2.0, 0.0])).tolist()
    [500.0, nan]
  """
  # Converted to float32 first: without 64-bit types JAX would truncate bytes over 2³¹.
  num_bytes = jnp.asarray(num_bytes, jnp.float32)
  durations = jnp.asarray(durations, jnp.float32)
  lasting = durations > 0
  return jnp.where(lasting, num_bytes / jnp.where(lasting, durations, 1), jnp.nan)


def class_averages(values: Array, classes: Array, num_classes: int) -> jax.Array:
  """Mean value of each traffic class, `[num_classes]`.

  Args:
    values: `[N]`; flows with NaN are left out.
    classes: `[N]`; flows with −1 are left out.
    num_classes: how many classes there are (static).

  Returns:
    The averages; NaN for a class without a value.

  Examples:
    >>> class_averages(jnp.array([1.0, 3.0, 8.0]), jnp.array([0, 0, 1]), 2).tolist()
    [2.0, 8.0]
  """
  counted = (classes >= 0) & ~jnp.isnan(values)
  members = (classes[:, None] == jnp.arange(num_classes)) & counted[:, None]
  return jnp.mean(jnp.where(members, values[:, None], 0), axis=0) / jnp.mean(
    members, axis=0
  )


def midpoint_dividers(averages: Array) -> jax.Array:
  """Midpoints between the sorted class averages, section IV-C: `[C]` → `[C − 1]`.

  A NaN average gives NaN as the last divider, which no value reaches.

  Examples:
    >>> midpoint_dividers(jnp.array([30.0, 10.0, 70.0])).tolist()
    [20.0, 50.0]
  """
  ordered = jnp.sort(averages)
  return (ordered[:-1] + ordered[1:]) / 2


def divide(values: Array, dividers: Array) -> jax.Array:
  """The class of each value, as in Table I but counted from 0.

  Args:
    values: `[...]`.
    dividers: `[D]`, ascending.

  Returns:
    `[...]` int32 in 0 … D; −1 where the value is NaN.

  Examples:
    >>> divide(jnp.array([5.0, 20.0, 99.0, jnp.nan]), jnp.array([20.0, 50.0])).tolist()
    [0, 1, 2, -1]
  """
  classes = jnp.sum(values[..., None] >= dividers, axis=-1, dtype=jnp.int32)
  return jnp.where(jnp.isnan(values), NO_TARGET, classes)
