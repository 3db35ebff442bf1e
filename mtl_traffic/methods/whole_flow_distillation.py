"""Whole flows teach, first packets answer: distillation of privileged information.

Training flows are complete: what is known of them is everything they did. Only the flow
that is to be answered for is short. So a teacher that sees whole flows learns the class
from the labelled ones and names it for all the others, and a student that sees first
packets learns that, bandwidth and duration from all training flows at once.

1. Three forests learn the class from the labelled flows: from totals of the whole flow,
   from all its stored packets, and from its first packets. Their probabilities are
   multiplied, each to a power that the labelled flows give out of bag: where totals say
   little of the class, as in some traffic, they are hardly heard.
2. A forest learns these opinions from all that is known of every training flow. What it
   says of a flow out of bag is smoother than the opinion of that flow itself.
3. The student, a multi-task network on columns of the first packets, learns the
   opinions, bandwidth and duration. Labelled flows keep their labels, and classes weigh
   alike.

Learning with privileged information: V. Vapnik and A. Vashist, Neural Networks 22,
2009; by distillation: D. Lopez-Paz, L. Bottou, B. Schölkopf and V. Vapnik, ICLR 2016.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic import encoding, models
from mtl_traffic.draws import Draw, each_run
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.methods import forest, teacher
from mtl_traffic.methods.base import (
  Hyperparameters,
  Parameters,
  Problem,
  Progress,
  Score,
)
from mtl_traffic.methods.network import NetworkMethod, all_members
from mtl_traffic.methods.random_forest import statistics
from mtl_traffic.tasks import MAIN_TASKS

_NEURONS = (512, 512)
_STANDARDISED = "standardised"
_TEACHING = 0.5  # Of the time that a fit takes, about.


class Student(nn.Module):
  """Dense layers on standardised columns, and a linear head for each task.

  Attributes:
    heads: the tasks and their numbers of classes.
    dtype: what the layers compute in; parameters and logits are float32.
  """

  heads: tuple[tuple[str, int], ...]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
    """Logits of each task, `[B, classes]`, for inputs `[B, F]`."""
    del train  # The network does the same in training.
    x = Standardised(name=_STANDARDISED)(x)
    for neurons in _NEURONS:
      x = nn.relu(
        nn.Dense(neurons, dtype=self.dtype, kernel_init=models.keras_kernel_init)(x)
      )
    return models.heads(self, x)


class Standardised(nn.Module):
  """Columns of mean 0 and deviation 1, by those of the training flows."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    mean = self.param("mean", nn.initializers.zeros, (x.shape[-1],))
    deviation = self.param("deviation", nn.initializers.ones, (x.shape[-1],))
    return (x - mean) / deviation


@dataclasses.dataclass(frozen=True)
class WholeFlowDistillation(NetworkMethod):
  """A student on first packets, taught by forests that see whole training flows."""

  @property
  def answered(self) -> tuple[str, ...]:
    return (*MAIN_TASKS, "class")

  def network(self, heads) -> nn.Module:
    return Student(models.heads_of(heads), jnp.dtype(self.dtype))

  def inputs(self, packets: FirstPackets) -> jax.Array:
    return columns(packets)

  def fit(
    self,
    problem: Problem,
    draws: Draw,
    hyperparameters: Hyperparameters,
    *,
    score: Score | None = None,
    progress: Progress = lambda fraction: None,
  ) -> Parameters:
    num_runs = len(draws.train)
    num_flows, num_columns = problem.inputs.shape
    num_classes = problem.num_classes["class"]
    inputs = np.asarray(problem.inputs)
    taught = np.zeros((num_runs, num_flows, num_classes), np.float32)
    start = {
      name: np.zeros((num_runs, num_columns), np.float32)
      for name in ("mean", "deviation")
    }
    for run, draw in enumerate(each_run(draws)):
      train = np.asarray(draw.train)
      taught[run, train] = self._teach(problem, draw, inputs[train], num_classes)
      start["mean"][run] = inputs[train].mean(axis=0)
      start["deviation"][run] = inputs[train].std(axis=0) + _LEAST_DEVIATION
      progress(_TEACHING * (run + 1) / num_runs)
    targets = {task: draws.targets[task] for task in MAIN_TASKS}
    return self.train(
      problem,
      hyperparameters,
      key=draws.key,
      members=draws.train,
      num_members=all_members(draws.train),
      targets={**targets, "class": jnp.asarray(taught)},
      frozen=(_STANDARDISED,),
      start={_STANDARDISED: jax.tree.map(jnp.asarray, start)},
      score=score,
      on_epoch=self.epochs_of(
        lambda fraction: progress(_TEACHING + (1 - _TEACHING) * fraction)
      ),
    )

  def _teach(
    self, problem: Problem, draw: Draw, inputs: np.ndarray, num_classes: int
  ) -> np.ndarray:
    """What the student is to learn of the training flows' classes, `[T, C]`."""
    flows = problem.flows[np.asarray(draw.train)]
    _, labels = draw.labelled()
    opinions = teacher.opinions(
      [teacher.ranked(teacher.totals(flows)), teacher.whole_columns(flows), inputs],
      labels,
      num_classes,
      forest.seed_of(draw.key),
    )
    # Classes weigh alike, however many flows are of them.
    share = np.sum(opinions, axis=0)
    return opinions * (len(opinions) / num_classes / np.maximum(share, 1e-9))


_LEAST_DEVIATION = 1e-3


def columns(packets: FirstPackets) -> jax.Array:
  """The first k packets as columns for a dense network, `[N, F]` float32.

  Direction × length and logarithmic inter-arrival time of each packet; then logarithms
  of the `encoding.length_counts` of the first sixth, half and all of them, and of the
  `random_forest.statistics`.

  Args:
    packets: the first k packets of N flows.
  """
  k = packets.lengths.shape[1]
  counts = encoding.length_counts(packets, [-(-k // part) for part in (6, 2, 1)])
  parts = [
    packets.directions * packets.lengths / encoding.MAX_LENGTH,
    encoding.log_inter_arrival_times(packets),
    jnp.log1p(counts),
    jnp.log1p(statistics(packets)),
  ]
  return jnp.concatenate([jnp.asarray(p, jnp.float32) for p in parts], axis=1)
