"""The convolutional network of the paper: Table II, with a head for each task."""

import functools
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtl_traffic.errors import InputError

FILTERS = (32, 64, 128)  # Of the convolutions before each pooling, Table II.
_NEURONS = (256, 256)

# Convolutions before each pooling, by the least k that they are used for. Without
# padding all six need 36 packets. The paper takes one off at 45 and 30 packets; below
# 28 packets as many more are left out as it takes.
_CONVOLUTIONS = (
  (46, (2, 2, 2)),
  (28, (2, 2, 1)),
  (16, (2, 2)),
  (12, (2, 1)),
  (6, (2,)),
)

FEWEST_PACKETS = _CONVOLUTIONS[-1][0]

# As Keras, which the authors used, initialises its layers.
keras_kernel_init = nn.initializers.glorot_uniform()


def convolutions_per_block(k: int) -> tuple[int, ...]:
  """Convolutions before each pooling for k packets (Table II and footnote 3).

  Raises:
    InputError: k is too small for any convolution and pooling.
  """
  for least_k, convolutions in _CONVOLUTIONS:
    if k >= least_k:
      return convolutions
  raise InputError(f"k = {k} packets are too few for the model; it needs {least_k}")


class Convolution(nn.Module):
  """A 1-d convolution without padding, `[C, L, B]` → `[features, L − size + 1, B]`.

  The same as `flax.linen.Conv` with padding "VALID", but for the order of axes, written
  as one matrix product of unfolded windows: mapped over weights it becomes a batched
  matrix product, where a convolution would become a grouped one, which XLA runs many
  times slower.
  """

  features: int
  kernel_size: int = 3
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    channels, length, batch = x.shape
    shape = (self.kernel_size, channels, self.features)
    kernel = self.param("kernel", keras_kernel_init, shape)
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    windows = length - self.kernel_size + 1
    unfolded = jnp.concatenate([x[:, i : i + windows] for i in range(self.kernel_size)])
    columns = unfolded.reshape(-1, windows * batch)
    kernel = kernel.reshape(-1, self.features)
    product = _linear(columns, kernel, bias, self.dtype)
    return product.reshape(self.features, windows, batch)


class Dense(nn.Module):
  """A linear layer, `[C, B]` → `[features, B]`; `flax.linen.Dense`, transposed."""

  features: int
  dtype: jnp.dtype = jnp.float32
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = self.param("kernel", keras_kernel_init, (len(x), self.features))
    bias = self.param("bias", self.bias_init, (self.features,))
    return _linear(x, kernel, bias, self.dtype)


def _linear(
  x: jax.Array, kernel: jax.Array, bias: jax.Array, dtype: jnp.dtype
) -> jax.Array:
  """Inputs `[C, M]`, kernel `[C, F]` and bias `[F]` → `[F, M]`.

  Features first, because then the gradient of the kernel, a product over the M columns,
  has its second matrix transposed. In the other order it would be the first, which
  takes XLA up to twice as long on a CPU.
  """
  x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=dtype)
  return kernel.T @ x + bias[:, None]


def max_pool(x: jax.Array, size: int = 2) -> jax.Array:
  """Maximum over windows of `size` places, two places apart, of `[C, L, B]`.

  A last place that fills no window is dropped. The maximum of strided views is faster
  than a reduction, in values and in gradients.
  """
  length = (x.shape[1] - size) // 2 + 1
  views = [x[:, i : i + 2 * length - 1 : 2] for i in range(size)]
  return functools.reduce(jnp.maximum, views)


class Trunk(nn.Module):
  """The layers that all tasks share, `[B, k, 2]` → `[B, 256]` (Table II)."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    blocks = convolutions_per_block(x.shape[1])
    x = x.T  # [C, L, B]
    for filters, convolutions in zip(FILTERS, blocks, strict=False):
      for _ in range(convolutions):
        x = nn.relu(Convolution(filters, dtype=self.dtype)(x))
      x = max_pool(x)
    x = x.swapaxes(0, 1).reshape(-1, x.shape[2])
    for neurons in _NEURONS:
      x = nn.relu(Dense(neurons, dtype=self.dtype)(x))
    return x.T


class MultitaskCNN(nn.Module):
  """The paper's network: one trunk, and a linear head for each task (Figure 4).

  Attributes:
    heads: the tasks and their numbers of classes, e.g. `(("bandwidth", 5),
      ("duration", 5), ("class", 5))`; see `heads_of`.
    dtype: what the layers compute in; parameters and logits are float32.
    masked_logits: whether to answer as well, as "masked_class", what the class head
      says of features that a mask has set to zero: its bias.
  """

  heads: tuple[tuple[str, int], ...]
  dtype: jnp.dtype = jnp.float32
  masked_logits: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
    """Logits of each task, `[B, classes]`, for inputs `[B, k, 2]`."""
    del train  # The network does the same in training.
    logits = heads(self, Trunk(dtype=self.dtype, name="trunk")(x))
    if self.masked_logits:
      bias = self.variables["params"]["class_head"]["bias"]
      logits["masked_class"] = jnp.broadcast_to(bias, logits["class"].shape)
    return logits


class Features(nn.Module):
  """The trunk of `MultitaskCNN` alone: `{"features": [B, 256]}` from its parameters."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
    return {"features": Trunk(dtype=self.dtype, name="trunk")(x)}


class Heads(nn.Module):
  """The heads of `MultitaskCNN` alone, on the trunk's features; see there."""

  heads: tuple[tuple[str, int], ...]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
    """Logits of each task, `[B, classes]`, for features `[B, 256]`."""
    del train
    return heads(self, x)


def heads(network: nn.Module, features: jax.Array) -> dict[str, jax.Array]:
  """A linear layer on the features for each of `network.heads`, within its call."""
  return {
    task: nn.Dense(
      classes, dtype=network.dtype, kernel_init=keras_kernel_init, name=f"{task}_head"
    )(features).astype(jnp.float32)
    for task, classes in network.heads
  }


def heads_of(num_classes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
  """A mapping of task to number of classes, in the hashable form a model takes."""
  return tuple(num_classes.items())
