"""The contract of a method: something that can be fitted, kept and asked.

    inputs = method.inputs(first_packets(flows.packets, k))  # what it reads, [N, ...]
    parameters = method.fit(problem, draws, hyperparameters)  # R runs, a pytree
    scores = method.apply(parameters_of_one_run, inputs)  # per task [N, classes]

Sweeps, training to keep, checkpoints, calibration, live answers and exported files use
nothing else of a method.
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

# Any pytree of arrays. Of several runs, every array has R as leading axis.
Parameters = Any
# Marks `[R]` of the parameters of R runs, on validation flows; the higher the better.
Score = Callable[[Parameters], jax.Array]
# Told the fraction of a fit that is done, from 0 to 1.
Progress = Callable[[float], None]
# By name `[R]`, what may differ between the runs of one program: λ, learning rate.
Hyperparameters = Mapping[str, jax.Array]

_LEAST_PROBABILITY = 1e-30


@dataclasses.dataclass(frozen=True)
class Problem:
  """What all runs of a program share.

  Attributes:
    flows: N flows, whole. A method may look at all of a training flow, and at nothing
      of a flow that it is asked about: that is what `inputs` is for.
    inputs: `[N, ...]`, what the method reads of the flows' first packets, on the
      device.
    num_classes: per task, "class" among them, its number of classes.
  """

  flows: Flows
  inputs: jax.Array
  num_classes: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC):
  """A way to learn the classes of flows from few labels.

  An instance is a method with its static settings, which are its dataclass fields.
  Instances are hashable and compare by value, so jitted functions take them as static
  arguments. What a method does not read is neither a field nor a hyperparameter of it.

  Attributes:
    hyperparameters: the names of what `fit` reads of its `hyperparameters`. These are
      traced, so runs with other values are the same program.
    reads_whole_flows: whether it reads all stored packets instead of the first k. Such
      a method can be compared, but not asked about live traffic.
    learns_prefixes: whether it has the setting `shortest_prefix`, by which it is
      trained on prefixes of random length, to answer before the k-th packet.
    is_random: whether runs with other keys differ on the same flows and labels, so that
      an ensemble makes sense.
    fits_together: whether R runs are fitted as one program, rather than one by one.
    least_k: the fewest packets k that it can read.
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
    """What the method reads of N flows' first packets, `[N, ...]`. Pure; jittable.

    A flow of fewer than k packets, or one that is cut after some of them, gives what it
    gives when it ends there.
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

    A run is the same in whatever company it is fitted.

    Args:
      problem: what the runs share.
      draws: R draws; every array has R as leading axis.
      hyperparameters: `[R]` of each name in the class's `hyperparameters`.
      score: by which a method that learns in epochs keeps the best epoch of each run
        instead of the last; others ignore it.
      progress: called now and then.

    Returns:
      The parameters of R runs: a pytree of arrays with R as leading axis.
    """

  @abc.abstractmethod
  def apply(self, parameters: Parameters, inputs: jax.Array) -> dict[str, jax.Array]:
    """What one run answers. Pure; jittable.

    Args:
      parameters: of one run.
      inputs: `[N, ...]`, as `inputs` gives them.

    Returns:
      Per task `[N, classes]` float32 scores; their softmax are probabilities.
    """

  def familiarity(self, parameters: Parameters, inputs: jax.Array) -> jax.Array:
    """How far N flows are like those that one run was trained on. Pure; jittable.

    A method that cannot say says 1 of every flow.

    Args:
      parameters: of one run.
      inputs: `[N, ...]`, as `inputs` gives them.

    Returns:
      `[N]` float32, from 0, like none of them, to 1.
    """
    return jnp.ones(len(inputs), jnp.float32)

  def check(self, parameters: Parameters, input_shape: tuple[int, ...]) -> None:
    """Looks through parameters of elsewhere, whose shapes are right.

    Args:
      parameters: of R runs.
      input_shape: of one flow's inputs.

    Raises:
      InputError: they cannot be what `fit` returned.
    """
    for leaf in jax.tree.leaves(parameters):
      if not np.isfinite(np.asarray(leaf)).all():
        raise InputError("a parameter is not finite")

  def ask(
    self, parameters: Parameters, inputs: jax.Array, queries: jax.Array
  ) -> dict[str, jax.Array]:
    """What R runs answer for some of N flows.

    Args:
      parameters: of R runs.
      inputs: `[N, ...]`.
      queries: `[R, Q]`, the flows that each run answers for.

    Returns:
      Per task `[R, Q, classes]`.
    """
    return sweeps.predict(parameters, inputs, jnp.asarray(queries), model=self)


def fit_each(
  fit_one: Callable[[Draw], Parameters], draws: Draw, progress: Progress
) -> Parameters:
  """Parameters of R runs that are fitted one by one.

  Args:
    fit_one: gives the parameters of a single run's draw.
    draws: R draws.
    progress: told after each run.
  """
  runs = []
  for draw in each_run(draws):
    runs.append(fit_one(draw))
    progress(len(runs) / len(draws.num_labelled))
  return stack(runs)


def stack(runs: list[Parameters]) -> Parameters:
  """Parameters of R runs, from those of each; shorter arrays end in zeros."""

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
  """The scores of a method that answers probabilities; finite where those are 0."""
  return jnp.log(jnp.maximum(probabilities, _LEAST_PROBABILITY))
