"""CNN+RNN-2 of Lopez-Martin et al. (2017), trained for one task at a time.

M. Lopez-Martin, B. Carro, A. Sanchez-Esguevillas, J. Lloret, *Network Traffic
Classifier With Convolutional and Recurrent Neural Networks for Internet of Things*,
IEEE Access 5. There a flow is a matrix of 20 packets × 6 fields: two convolutions (32,
then 64 filters of 4 × 2), each with pooling and batch normalisation, then an LSTM of
100 units over the packets and two dense layers. Here a packet has two fields, so the
first filters span both and what follows is one-dimensional; and pooling windows of 3
lie two places apart, so that the LSTM reads 12 places of 60 packets, as it read 10 of
20.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtl_traffic import models
from mtl_traffic.draws import Draw
from mtl_traffic.errors import InputError
from mtl_traffic.methods.base import (
  Hyperparameters,
  Parameters,
  Problem,
  Progress,
  Score,
)
from mtl_traffic.methods.network import OneTaskNetworkMethod
from mtl_traffic.tasks import MAIN_TASKS

_FILTERS = (32, 64)
_KERNEL_SIZE, _POOL_SIZE = 4, 3
_UNITS = 100
_LEAST_K = 16


class LSTM(nn.Module):
  """The last output of an LSTM, `[C, L, B]` → `[units, B]`.

  The inputs' part of the gates is one matrix product for all places, outside the loop.
  """

  units: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    channels, length, batch = x.shape
    gates = models.Dense(
      4 * self.units,
      self.dtype,
      # A forget gate that starts open (Jozefowicz et al., 2015), as in Keras.
      bias_init=lambda *_: jnp.repeat(jnp.array([0.0, 1, 0, 0]), self.units),
    )(x.reshape(channels, length * batch)).reshape(-1, length, batch)
    recurrent = self.param(
      "recurrent", nn.initializers.orthogonal(), (self.units, 4 * self.units)
    ).astype(self.dtype)

    def place(carry, gates):
      memory, output = carry
      into, forget, candidate, out = jnp.split(gates + recurrent.T @ output, 4)
      memory = nn.sigmoid(forget) * memory + nn.sigmoid(into) * jnp.tanh(candidate)
      output = nn.sigmoid(out) * jnp.tanh(memory)
      return (memory, output), None

    zeros = jnp.zeros((self.units, batch), self.dtype)
    (_, output), _ = jax.lax.scan(place, (zeros, zeros), gates.swapaxes(0, 1))
    return output


class CNNRNN(nn.Module):
  """The network with a linear head for each task; see `models.MultitaskCNN`."""

  heads: tuple[tuple[str, int], ...]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
    """Logits of each task, `[B, classes]`, for inputs `[B, k, 2]`."""
    if x.shape[1] < _LEAST_K:
      raise InputError(f"k = {x.shape[1]} packets are too few for cnn_rnn: {_LEAST_K}")
    normalise = functools.partial(
      nn.BatchNorm, not train, axis=0, momentum=0.99, dtype=self.dtype
    )
    x = x.T  # [C, L, B]
    for filters in _FILTERS:
      x = nn.relu(models.Convolution(filters, _KERNEL_SIZE, self.dtype)(x))
      x = normalise()(models.max_pool(x, _POOL_SIZE))
    x = LSTM(_UNITS, self.dtype)(x)
    x = nn.relu(models.Dense(_UNITS, self.dtype)(x))
    return models.heads(self, x.T)


@dataclasses.dataclass(frozen=True)
class CnnRnn(OneTaskNetworkMethod):
  """Three networks, trained from scratch: bandwidth, duration, class.

  Bandwidth and duration are learnt from all training flows, the class from the labelled
  ones, with as many steps (section V-B). The parameters are those of each task.
  """

  least_k: ClassVar[int] = _LEAST_K

  @property
  def answered(self) -> tuple[str, ...]:
    return (*MAIN_TASKS, "class")

  def network(self, heads: Mapping[str, int]) -> nn.Module:
    return CNNRNN(models.heads_of(heads), jnp.dtype(self.dtype))

  def fit(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    score: Score | None = None,
    progress: Progress = lambda fraction: None,
  ) -> Parameters:
    tasks = self.answered
    on_epoch = self.epochs_of(draws, progress, stages=len(tasks))

    def of_task(task: str) -> Parameters:
      return self.train(
        problem,
        draws,
        hyperparameters,
        num_members=draws.num_labelled if task == "class" else draws.num_train,
        targets={task: draws.targets[task]},
        score=score and (lambda parameters: score({task: parameters})),
        on_epoch=on_epoch,
      )

    return {task: of_task(task) for task in tasks}

  def apply(self, parameters: Parameters, inputs: jax.Array) -> dict[str, jax.Array]:
    scores = {}
    for of_task in parameters.values():
      scores |= super().apply(of_task, inputs)
    return scores
