"""The flows of a dataset as a configuration divides, draws and encodes them."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from experiments.runs import ALL, Run
from mtl_traffic import draws, splits
from mtl_traffic.encoding import Encoding
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows
from mtl_traffic.study import Study
from mtl_traffic.tasks import MAIN_TASKS
from mtl_traffic.training import Schedule


class Studies:
  """What runs share, by their number of packets, and what each of them is given.

  Attributes:
    flows: those of all partitions that are long enough.
    others: the flows of each partition that is not trained on.
    table: the flows as draws see them.
  """

  def __init__(
    self, config: ml_collections.ConfigDict, flows: Flows, runs: Sequence[Run]
  ):
    """Checks that the flows suffice.

    Args:
      config: see `experiments/configs/common.py`.
      flows: all partitions.
      runs: what is to be run.

    Raises:
      InputError: naming the setting at fault and what to do.
    """
    self._config = config
    self.flows = _long_enough(flows, config.min_packets)
    eligible, self.others = _partitions(self.flows, config.train_partition)
    splits.check_sizes(
      self.flows.classes,
      self.flows.class_names,
      eligible,
      test_per_class=config.test_per_class,
      validation_per_class=config.validation_per_class,
      labels_per_class=max(_number(run.labels_per_class, 1) for run in runs),
    )
    tasks = dict.fromkeys(task for run in runs for task in run.tasks)
    self.table = draws.flow_table(
      self.flows, eligible, tuple(dict.fromkeys(MAIN_TASKS) | tasks)
    )

  def encoding(self, run: Run) -> Encoding:
    """How a run reads packets."""
    return Encoding(
      settings=(
        ("iat_range", tuple(self._config.iat_range)),
        ("signed_lengths", run.signed_lengths),
      )
    )

  @functools.lru_cache(maxsize=1)  # noqa: B019 - there is one in a process
  def _inputs(self, encoding: Encoding, k: int) -> jax.Array:
    return jax.jit(encoding, static_argnames="k")(self.flows.packets, k=k)

  def study(self, run: Run) -> Study:
    """What all runs of a program share."""
    num_classes = dict.fromkeys((*self.table.values, "class"), self.table.num_classes)
    for task, dividers in _dividers(run).items():
      num_classes[task] = len(dividers) + 1
    return Study(
      flows=self.flows,
      inputs=self._inputs(self.encoding(run), run.k),
      num_classes=num_classes,
      schedule=_schedule(self._config),
      tasks=run.tasks,
      mask=run.mask,
      dtype=jnp.dtype(self._config.dtype),
    )

  def draw(self, runs: Sequence[Run]) -> draws.Draw:
    """The draws of runs of one program."""
    return draws.draw_many(
      self.table,
      jnp.array([run.seed for run in runs]),
      jnp.array([_number(run.labels_per_class, draws.ALL_LABELS) for run in runs]),
      test_per_class=self._config.test_per_class,
      validation_per_class=self._config.validation_per_class,
      dividers={
        task: jnp.array([_dividers(run)[task] for run in runs], jnp.float32)
        for task in _dividers(runs[0])
      },
    )


def _dividers(run: Run) -> dict[str, tuple[float, ...]]:
  """The dividers that a run is given; it draws the others."""
  given = {"bandwidth": run.bandwidth_dividers, "duration": run.duration_dividers}
  return {task: dividers for task, dividers in given.items() if dividers}


def _schedule(config: ml_collections.ConfigDict) -> Schedule:
  return Schedule(
    epochs=config.epochs,
    batch_size=config.batch_size,
    learning_rate=config.learning_rate,
    clip_norm=config.clip_norm,
  )


def _number(labels_per_class: int | str, if_all: int) -> int:
  return if_all if labels_per_class == ALL else labels_per_class


def _long_enough(flows: Flows, min_packets: int) -> Flows:
  kept = flows.num_packets >= min_packets
  if not kept.all():
    logging.info("left out %d flows of under %d packets", (~kept).sum(), min_packets)
  if not kept.any():
    raise InputError(
      f"config.min_packets: no flows are left; none has {min_packets} packets"
    )
  return flows[kept]


def _partitions(
  flows: Flows, train_partition: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """A mask of the flows to split, and the flows of each other partition."""
  if train_partition == ALL:
    return np.ones(len(flows), bool), {}
  if train_partition not in flows.partition_names:
    raise InputError(
      f"config.train_partition: the flows have no partition {train_partition!r}, "
      f"but {', '.join(flows.partition_names)}; {ALL!r} takes all"
    )
  of = {
    name: flows.partitions == code for code, name in enumerate(flows.partition_names)
  }
  eligible = of.pop(train_partition)
  return eligible, {
    name: np.flatnonzero(mask) for name, mask in of.items() if mask.any()
  }
