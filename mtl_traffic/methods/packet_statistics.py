"""Statistics of a flow's packets, as columns for forests.

The paper takes the idea from Aceto et al., *Mobile Encrypted Traffic Classification
Using Deep Learning* (2018): statistics of lengths and inter-arrival times, for both
directions together and for each direction.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic.encoding import FirstPackets

_PERCENTILES = np.arange(10, 100, 10)
_STATISTICS = (
  "min",
  "max",
  "mean",
  "deviation",
  *(f"{percentile}th percentile" for percentile in _PERCENTILES),
)
FEATURES = tuple(
  f"{statistic} of {series}, {direction}"
  for direction in ("both ways", "to server", "to client")
  for series, statistics in (
    ("packets", ("number",)),
    ("lengths", _STATISTICS),
    ("inter-arrival times", _STATISTICS),
  )
  for statistic in statistics
)


def statistics(packets: FirstPackets) -> jax.Array:
  """Statistics of each flow's packets, `[N, len(FEATURES)]`; 0 without packets.

  An inter-arrival time of one direction is the time since that direction's last packet.
  """
  columns = []
  for chosen in (
    packets.there,
    packets.there & (packets.directions > 0),
    packets.there & (packets.directions < 0),
  ):
    is_later = chosen & (jnp.cumsum(chosen, axis=1) > 1)
    columns += [
      jnp.sum(chosen, axis=1, keepdims=True).astype(jnp.float32),
      _summary(jnp.asarray(packets.lengths, jnp.float32), chosen),
      _summary(_since_last(packets.inter_arrival_times, chosen), is_later),
    ]
  return jnp.concatenate(columns, axis=1)


def _since_last(gaps: jax.Array, chosen: jax.Array) -> jax.Array:
  """Seconds since the previous chosen packet, `[N, P]`.

  Sums gaps: differences of times would lose digits in float32.
  """

  def joined(left, right):
    (begins, since), (begins_later, since_later) = left, right
    return begins | begins_later, since_later + jnp.where(begins_later, 0, since)

  begins = jnp.pad(chosen[:, :-1], ((0, 0), (1, 0)))
  _, since = jax.lax.associative_scan(joined, (begins, jnp.asarray(gaps)), axis=1)
  return since


def _summary(values: jax.Array, chosen: jax.Array) -> jax.Array:
  """Statistics of the chosen values of each row, `[N, len(_STATISTICS)]`."""
  counts = jnp.sum(chosen, axis=1, keepdims=True)
  ordered = sorted_rows(jnp.where(chosen, values, jnp.inf))
  ordered = jnp.where(jnp.isinf(ordered), 0, ordered)
  last, size = jnp.maximum(counts - 1, 0), jnp.maximum(counts, 1)
  mean = jnp.sum(jnp.where(chosen, values, 0), axis=1, keepdims=True) / size
  squares = jnp.where(chosen, (values - mean) ** 2, 0)
  # Percentiles are interpolated, as in numpy.percentile.
  place = _PERCENTILES / 100 * last
  low = jnp.floor(place).astype(jnp.int32)
  below = jnp.take_along_axis(ordered, low, axis=1)
  above = jnp.take_along_axis(ordered, jnp.minimum(low + 1, last), axis=1)
  columns = [
    ordered[:, :1],
    jnp.take_along_axis(ordered, last, axis=1),
    mean,
    jnp.sqrt(jnp.sum(squares, axis=1, keepdims=True) / size),
    below + (place - low) * (above - below),
  ]
  return jnp.concatenate(columns, axis=1)


def sorted_rows(values: jax.Array) -> jax.Array:
  """The values of each row in ascending order, `[N, P]`.

  Uses a bitonic network: K. Batcher, Sorting Networks and Their Applications, AFIPS
  1968. Its steps are the same for all rows, so many rows are sorted at once. On a CPU
  this is ten times as fast as `jnp.sort`.
  """
  num_rows, num_values = values.shape
  size = 1 << max(num_values - 1, 0).bit_length()
  columns = jnp.pad(values.T, ((0, size - num_values), (0, 0)), constant_values=jnp.inf)
  sorted_size = 1
  while sorted_size < size:
    # Merges two sorted blocks: the second is reversed first, then halves are compared.
    pairs = columns.reshape(size // sorted_size // 2, 2, sorted_size, num_rows)
    first, second = pairs[:, 0], pairs[:, 1, ::-1]
    low, high = jnp.minimum(first, second), jnp.maximum(first, second)
    columns = jnp.stack([low, high[:, ::-1]], axis=1)
    half = sorted_size // 2
    while half:
      pairs = columns.reshape(size // half // 2, 2, half, num_rows)
      first, second = pairs[:, 0], pairs[:, 1]
      columns = jnp.stack(
        [jnp.minimum(first, second), jnp.maximum(first, second)], axis=1
      )
      half //= 2
    sorted_size *= 2
  return columns.reshape(size, num_rows)[:num_values].T
