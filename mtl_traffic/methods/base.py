"""The interface of methods, which can be fitted, saved and asked for predictions.

    inputs = method.inputs(first_packets(flows.packets, k))  # what it reads, [N, ...]
    parameters = method.fit(problem, draws, hyperparameters)  # R runs, a pytree
    scores = method.apply(parameters_of_one_run, inputs)  # per task [N, classes]

Sweeps, training, checkpoints, calibration, live answers and exported files use only
this interface.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic import sweeps
from mtl_traffic.draws import Draw, each_run
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows

# Any pytree of arrays. For several runs, every array has R as leading axis.
Parameters = Any
# Scores the parameters of R runs on validation flows, `[R]`; higher is better.
Score = Callable[[Parameters], jax.Array]
# Called with the fraction of a fit that is done, from 0 to 1.
Progress = Callable[[float], None]
# Values that may differ between the runs of one program, such as λ: `[R]` by name.
Hyperparameters = Mapping[str, jax.Array]

_LEAST_PROBABILITY = 1e-30


@dataclasses.dataclass(frozen=True)
class Problem:
  """The flows and tasks that all runs of a program share.

  Attributes:
    flows: N whole flows. A method may read all of a training flow. Of a flow that it
      predicts, it may read only `inputs`.
    inputs: `[N, ...]`, what the method reads of the flows' first packets, on the
      device.
    num_classes: the number of classes of each task, "class" included.
  """

  flows: Flows
  inputs: jax.Array
  num_classes: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC):
  """A way to learn the classes of flows from few labels.

  An instance is a method with its static settings, which are its dataclass fields.
  Instances are hashable and compare by value, so jitted functions take them as static
  arguments. A method has only those fields and hyperparameters that it reads.

  Attributes:
    hyperparameters: the names of the hyperparameters that `fit` reads. They are traced,
      so runs with different values share a program.
    reads_whole_flows: whether it reads all stored packets instead of the first k. Such
      a method can be compared, but cannot predict live traffic.
    learns_prefixes: whether it has the setting `shortest_prefix`. With it, a method is
      trained on prefixes of random length, to answer before the k-th packet.
    is_random: whether runs with different keys differ on the same flows and labels, so
      that an ensemble makes sense.
    fits_together: whether R runs are fitted as one program, rather than one by one.
    least_k: the smallest k that it accepts.
  """

  hyperparameters: ClassVar[tuple[str, ...]] = ()
  reads_whole_flows: ClassVar[bool] = False
  learns_prefixes: ClassVar[bool] = False
  is_random: ClassVar[bool] = True
  fits_together: ClassVar[bool] = False
  least_k: ClassVar[int] = 1

  @property
  @abc.abstractmethod
  def answered(self) -> tuple[str, ...]:
    """The tasks that it answers, "class" among them."""

  @abc.abstractmethod
  def inputs(self, packets: FirstPackets) -> jax.Array:
    """Encodes N flows' first packets for the method, `[N, ...]`. Pure; jittable.

    A flow that is cut after some packets must be encoded like a flow that ends there.
    """

  @abc.abstractmethod
  def fit(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    score: Score | None = None,
    progress: Progress = lambda fraction: None,
  ) -> Parameters:
    """Learns from R draws.

    A run's result must not depend on the runs that are fitted with it.

    Args:
      problem: the flows and tasks that the runs share.
      draws: R draws; every array has R as leading axis.
      hyperparameters: `[R]` for each name in the class's `hyperparameters`.
      score: if given, methods that learn in epochs keep the best epoch of each run
        instead of the last one. Other methods ignore it.
      progress: called from time to time.

    Returns:
      The parameters of R runs: a pytree of arrays with R as leading axis.
    """

  @abc.abstractmethod
  def apply(self, parameters: Parameters, inputs: jax.Array) -> dict[str, jax.Array]:
    """Predicts N flows with one run. Pure; jittable.

    Args:
      parameters: the parameters of one run.
      inputs: `[N, ...]`, from `inputs`.

    Returns:
      Per task `[N, classes]` float32 scores; their softmax are probabilities.
    """

  def familiarity(self, parameters: Parameters, inputs: jax.Array) -> jax.Array:
    """How similar N flows are to the training flows of one run. Pure; jittable.

    A method that cannot tell returns 1 for every flow.

    Args:
      parameters: the parameters of one run.
      inputs: `[N, ...]`, from `inputs`.

    Returns:
      `[N]` float32, from 0 (unlike all of them) to 1.
    """
    return jnp.ones(inputs.shape[:1], jnp.float32)

  def check(self, parameters: Parameters, input_shape: tuple[int, ...]) -> None:
    """Checks the values of parameters from an untrusted source; their shapes are right.

    Args:
      parameters: the parameters of R runs.
      input_shape: the shape of one flow's inputs.

    Raises:
      InputError: `fit` cannot have returned these parameters.
    """
    for leaf in jax.tree.leaves(parameters):
      if not np.isfinite(np.asarray(leaf)).all():
        raise InputError("a parameter is not finite")

  def ask(
    self, parameters: Parameters, inputs: jax.Array, queries: jax.Array
  ) -> dict[str, jax.Array]:
    """Predicts some of N flows with each of R runs.

    Args:
      parameters: the parameters of R runs.
      inputs: `[N, ...]`.
      queries: `[R, Q]`, indices of the flows that each run predicts.

    Returns:
      Per task `[R, Q, classes]`.
    """
    return sweeps.predict(parameters, inputs, jnp.asarray(queries), model=self)


def fit_each(
  fit_one: Callable[[Draw], Parameters], draws: Draw, progress: Progress
) -> Parameters:
  """Fits R runs one by one; returns their parameters.

  Args:
    fit_one: fits the draw of a single run, and returns its parameters.
    draws: R draws.
    progress: called after each run.
  """
  runs = []
  for draw in each_run(draws):
    runs.append(fit_one(draw))
    progress(len(runs) / len(draws.num_labelled))
  return stack(runs)


def stack(runs: list[Parameters]) -> Parameters:
  """Stacks the parameters of R runs; shorter arrays are padded with zeros."""

  def of_leaf(*leaves: jax.Array) -> jax.Array:
    size = [
      max(lengths) for lengths in zip(*(leaf.shape for leaf in leaves), strict=True)
    ]
    padded = [
      jnp.pad(leaf, [(0, n - m) for n, m in zip(size, leaf.shape, strict=True)])
      for leaf in map(jnp.asarray, leaves)
    ]
    return jnp.stack(padded)

  return jax.tree.map(of_leaf, *runs)


def log_probabilities(probabilities: jax.Array) -> jax.Array:
  """Scores for a method that predicts probabilities; finite where those are 0."""
  return jnp.log(jnp.maximum(probabilities, _LEAST_PROBABILITY))
