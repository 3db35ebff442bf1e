"""What the model reads of a flow's first packets (section IV-C of the paper)."""

import dataclasses

import jax
import jax.numpy as jnp

from mtl_traffic.errors import InputError
from mtl_traffic.flows import Packets

MAX_LENGTH = 1434.0  # bytes
MAX_INTER_ARRIVAL_TIME = 1.0  # s
_LEAST_INTER_ARRIVAL_TIME = 1e-6  # s
_COUNTED_LENGTH = 1500  # bytes


def first_packets(packets: Packets, k: int) -> Packets:
  """The first k packets of each flow, `[N, P]` → `[N, k]`; zeros past the last."""

  def fit(leaf: jax.Array) -> jax.Array:
    return jnp.pad(leaf[:, :k], ((0, 0), (0, max(0, k - leaf.shape[1]))))

  return Packets(
    times=fit(packets.times),
    lengths=fit(packets.lengths),
    directions=fit(packets.directions),
    counts=jnp.minimum(packets.counts, k),
  )


def inter_arrival_times(packets: Packets) -> jax.Array:
  """Seconds since the packet before, `[N, P]`; 0 for the first one and padding."""
  gaps = jnp.diff(packets.times, axis=1, prepend=packets.times[:, :1])
  return jnp.where(_there(packets), gaps, 0)


def log_inter_arrival_times(packets: Packets) -> jax.Array:
  """Decimal logarithm of seconds since the packet before, at least a µs, `[N, P]`.

  −7, below any packet's, where there is none.
  """
  gaps = jnp.maximum(inter_arrival_times(packets), _LEAST_INTER_ARRIVAL_TIME)
  return jnp.where(_there(packets), jnp.log10(gaps), -7)


def length_counts(packets: Packets, width: int = 50) -> jax.Array:
  """How many packets of which length each flow has, `[N, 2 · (1500 / width + 1)]`.

  For each direction, to the server first: the packets of every interval of `width`
  bytes, those beyond 1500 bytes in the last, then their bytes together.

  Args:
    packets: `[N, P]`.
    width: of an interval, in bytes; static.
  """
  num_flows = len(packets.counts)
  num_intervals = -(-_COUNTED_LENGTH // width)
  lengths = jnp.asarray(packets.lengths)
  interval = jnp.minimum(lengths // width, num_intervals - 1).astype(jnp.int32)
  columns = []
  for direction in (1, -1):
    sent = _there(packets) & (packets.directions == direction)
    counts = jnp.zeros((num_flows, num_intervals), jnp.int32)
    counts = counts.at[jnp.arange(num_flows)[:, None], interval].add(sent)
    columns += [counts, jnp.sum(sent * lengths, axis=1, keepdims=True)]
  return jnp.concatenate(columns, axis=1)


def encode(
  packets: Packets,
  k: int,
  iat_range: tuple[float, float] = (0.0, 1.0),
  signed_lengths: bool = True,
) -> jax.Array:
  """Encodes the first k packets as the two channels of the paper, section IV-C.

  Channel 0 is the inter-arrival time, clipped at 1 s and mapped from [0, 1] s to
  `iat_range`; channel 1 is direction × length / 1434 bytes, clipped to [−1, 1]. Places
  without a packet are zero in both. Pure and jittable with all but the packets static.

  Args:
    packets: the first packets of N flows, `[N, P]`; P may be smaller than k.
    k: packets to encode.
    iat_range: what 0 s and 1 s become; the paper only says "normalised", the authors'
      code uses (−1, 1).
    signed_lengths: whether lengths carry the direction; in the authors' code they do
      not, against the paper's text.

  Returns:
    `[N, k, 2]` float32.
  """
  packets = first_packets(packets, k)
  low, high = iat_range
  clipped = jnp.clip(inter_arrival_times(packets) / MAX_INTER_ARRIVAL_TIME, 0, 1)
  iat = jnp.where(_there(packets), low + (high - low) * clipped, 0)
  signs = packets.directions if signed_lengths else 1
  length = jnp.clip(signs * packets.lengths / MAX_LENGTH, -1, 1)
  return jnp.stack([iat, length], axis=-1).astype(jnp.float32)


def cut(inputs: jax.Array, counts: jax.Array) -> jax.Array:
  """Encoded flows as they were after some packets: zeros in the places after those.

  Args:
    inputs: `[N, k, C]`, encoded, a place for each packet.
    counts: `[N]` int, how many of the first packets to leave.
  """
  there = jnp.arange(inputs.shape[1]) < counts[:, None]
  return jnp.where(there[..., None], inputs, 0)


# By the names that trained models remember. Called as `encode` is: the packets, k, and
# settings of their own; a flow of fewer than k packets ends in zeros, as `cut` does it.
ENCODINGS = {"iat_and_length": encode}


@dataclasses.dataclass(frozen=True)
class Encoding:
  """An encoding of `ENCODINGS` with its settings; hashable, so it can be static.

  Attributes:
    name: in `ENCODINGS`.
    settings: pairs of name and value.
  """

  name: str = "iat_and_length"
  settings: tuple[tuple[str, object], ...] = ()

  def __post_init__(self):
    if self.name not in ENCODINGS:
      raise InputError(
        f"encoding {self.name!r} is unknown; there are {', '.join(ENCODINGS)}"
      )

  def __call__(self, packets: Packets, k: int) -> jax.Array:
    """`[N, k, C]` float32."""
    return ENCODINGS[self.name](packets, k, **dict(self.settings))


def _there(packets: Packets) -> jax.Array:
  return jnp.arange(packets.times.shape[1]) < packets.counts[:, None]
