"""Encodes a flow's first packets as model inputs (section IV-C of the paper)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mtl_traffic import pytrees  # noqa: F401 - flows are mapped over
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Packets

MAX_LENGTH = 1434.0  # bytes
MAX_INTER_ARRIVAL_TIME = 1.0  # s
_LEAST_INTER_ARRIVAL_TIME = 1e-6  # s
_COUNTED_LENGTH = 1500  # bytes


@struct.dataclass
class FirstPackets:
  """The first k packets of N flows as models read them, padded with zeros.

  They hold inter-arrival times instead of times, because models compute in float32.
  It can represent a gap of 5 µs, but not two times near 600 s that are 5 µs apart.

  Attributes:
    inter_arrival_times: `[N, k]` float32, seconds since the previous packet; 0 for the
      first packet.
    lengths: `[N, k]` int32, bytes.
    directions: `[N, k]` int8, +1 client → server, −1 server → client, 0 padding.
    counts: `[N]` int32, packets of each flow; the other k − counts places are padding.
  """

  inter_arrival_times: jax.Array
  lengths: jax.Array
  directions: jax.Array
  counts: jax.Array

  @property
  def there(self) -> jax.Array:
    """`[N, k]` bool: True for packets, False for padding."""
    return jnp.arange(self.lengths.shape[1]) < self.counts[:, None]


def first_packets(
  packets: Packets, k: int, num_packets: int | None = None
) -> FirstPackets:
  """The first k packets of each flow, `[N, P]` → `[N, k]`, padded with zeros.

  Give NumPy arrays: then inter-arrival times are computed in float64.

  Args:
    packets: the first packets of N flows; P may be smaller than k.
    k: width of the result, in packets.
    num_packets: how many of the k packets to keep; later ones become padding. By
      default all are kept.

  Raises:
    InputError: k is below 1, or `packets` is not a `Packets`.
  """
  if not isinstance(packets, Packets):
    raise InputError(
      f"packets are {type(packets).__name__}, must be Packets; of flows give "
      "flows.packets"
    )
  if k < 1:
    raise InputError(f"k = {k} packets, must be at least 1")
  xp = np if isinstance(packets.times, np.ndarray) else jnp
  gaps = xp.diff(packets.times, axis=1, prepend=packets.times[:, :1])
  num_packets = k if num_packets is None else min(num_packets, k)

  def fit(leaf):
    shown = leaf[:, :num_packets]
    return xp.pad(shown, ((0, 0), (0, k - shown.shape[1])))

  return FirstPackets(
    inter_arrival_times=fit(xp.where(packets.there, gaps, 0).astype(np.float32)),
    lengths=fit(packets.lengths),
    directions=fit(packets.directions),
    counts=xp.minimum(packets.counts, num_packets).astype(np.int32),
  )


def inter_arrival_times(packets: Packets) -> jax.Array:
  """Seconds since the previous packet, `[N, P]`; 0 for the first packet and padding."""
  return first_packets(packets, packets.times.shape[1]).inter_arrival_times


def log_inter_arrival_times(packets: FirstPackets) -> jax.Array:
  """Decimal logarithm of inter-arrival times in seconds, `[N, k]`.

  Times below 1 µs count as 1 µs, so packets have values from −6 on. Padding is −7.
  """
  gaps = jnp.maximum(packets.inter_arrival_times, _LEAST_INTER_ARRIVAL_TIME)
  return jnp.where(packets.there, jnp.log10(gaps), -7)


def length_counts(
  packets: FirstPackets, ends: Sequence[int], width: int = 50
) -> jax.Array:
  """Histograms of packet lengths over several prefixes of each flow.

  Columns are ordered by prefix, then by direction (to the server first). Each direction
  has the number of packets in every interval of `width` bytes, then their total bytes.
  Packets above 1500 bytes count in the last interval.

  Args:
    packets: the first k packets.
    ends: the lengths of the prefixes in packets, ascending; static.
    width: width of an interval in bytes; static.

  Returns:
    `[N, len(ends) · 2 · (1500 / width + 1)]` int32.
  """
  num_flows, k = packets.lengths.shape
  num_intervals = -(-_COUNTED_LENGTH // width)
  lengths = jnp.asarray(packets.lengths)
  interval = jnp.minimum(lengths // width, num_intervals - 1).astype(jnp.int32)
  backwards = (packets.directions < 0).astype(jnp.int32)
  # Each packet is counted once, in the shortest prefix that contains it.
  end = np.searchsorted(np.asarray(ends), np.arange(k), side="right")
  shape = (num_flows, len(ends) + 1, 2)
  place = jnp.arange(num_flows)[:, None], end, backwards
  counts = jnp.zeros((*shape, num_intervals), jnp.int32)
  counts = counts.at[(*place, interval)].add(packets.there)
  num_bytes = jnp.zeros(shape, jnp.int32).at[place].add(packets.there * lengths)
  both = jnp.concatenate([counts, num_bytes[..., None]], axis=-1)[:, :-1]
  return jnp.cumsum(both, axis=1).reshape(num_flows, math.prod(both.shape[1:]))


def encode(
  packets: Packets | FirstPackets,
  k: int | None = None,
  iat_range: tuple[float, float] = (0.0, 1.0),
  signed_lengths: bool = True,
) -> jax.Array:
  """Encodes the first k packets as the two channels of the paper, section IV-C.

  Channel 0 is the inter-arrival time, clipped at 1 s and mapped from [0, 1] s to
  `iat_range`. Channel 1 is direction × length / 1434 bytes, clipped to [−1, 1]. Padding
  is zero in both. Pure; under `jit` all arguments except the packets are static.

  Args:
    packets: the first packets of N flows, `[N, P]`; P may be smaller than k.
    k: packets to encode; needed unless `packets` comes from `first_packets`.
    iat_range: the values that encode 0 s and 1 s. The paper only says "normalised";
      the authors' code uses (−1, 1).
    signed_lengths: whether lengths carry the direction's sign. They do in the paper's
      text, but not in the authors' code.

  Returns:
    `[N, k, 2]` float32.

  Raises:
    InputError: k is below 1, or `packets` is of another type.
  """
  if not isinstance(packets, FirstPackets):
    packets = first_packets(packets, 0 if k is None else k)
  low, high = iat_range
  clipped = jnp.clip(packets.inter_arrival_times / MAX_INTER_ARRIVAL_TIME, 0, 1)
  iat = jnp.where(packets.there, low + (high - low) * clipped, 0)
  signs = packets.directions if signed_lengths else 1
  length = jnp.clip(signs * packets.lengths / MAX_LENGTH, -1, 1)
  return jnp.stack([iat, length], axis=-1).astype(jnp.float32)


def cut(inputs: jax.Array, counts: jax.Array) -> jax.Array:
  """Keeps the first packets of encoded flows and sets the later ones to zero.

  Args:
    inputs: `[N, k, C]`, encoded flows.
    counts: `[N]` int, how many packets to keep.
  """
  there = jnp.arange(inputs.shape[1]) < counts[:, None]
  return jnp.where(there[..., None], inputs, 0)
