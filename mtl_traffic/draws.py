"""What a run is given: its split, its labels, and the targets that follow."""

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mtl_traffic import pytrees, splits, targets  # noqa: F401 - flows are mapped
from mtl_traffic.flows import Flows
from mtl_traffic.tasks import MAIN_TASKS, TASKS

ALL_LABELS = np.iinfo(np.int32).max  # As labels_per_class: every training flow.


@struct.dataclass
class FlowTable:
  """What a draw needs to know of N flows, on the device.

  Attributes:
    classes: `[N]` int32, −1 = unknown.
    values: of each task (bandwidth in bytes/s, duration in s) `[N]` float32, NaN where
      a flow has none.
    eligible: `[N]` bool, the flows of the training partition.
    class_names: the traffic classes.
    class_sizes: how many flows of each class are in the training partition.
    num_eligible: flows of the training partition.
  """

  classes: jax.Array
  values: dict[str, jax.Array]
  eligible: jax.Array
  class_names: tuple[str, ...] = struct.field(pytree_node=False)
  class_sizes: tuple[int, ...] = struct.field(pytree_node=False)
  num_eligible: int = struct.field(pytree_node=False)

  @property
  def num_classes(self) -> int:
    return len(self.class_names)


@struct.dataclass
class Draw:
  """One run's share of N flows. All methods are compared on the same draws.

  Attributes:
    key: random key of the run, for what a method draws itself.
    train: `[T]` int32, the training flows, those with a class label first.
    num_labelled: how many of them carry one.
    validation: `[V]` int32.
    test: `[E]` int32.
    targets: per task `[N]` int32 the class to learn, −1 where a run may not know it:
      those of the table's tasks of all flows, "class" of the labelled ones.
    dividers: of each of the table's tasks `[D]`.
  """

  key: jax.Array
  train: jax.Array
  num_labelled: jax.Array
  validation: jax.Array
  test: jax.Array
  targets: dict[str, jax.Array]
  dividers: dict[str, jax.Array]

  def labelled(self) -> tuple[np.ndarray, np.ndarray]:
    """The labelled flows of a single run `[L]`, and their classes `[L]`."""
    flows = np.asarray(self.train)[: int(self.num_labelled)]
    return flows, np.asarray(self.targets["class"])[flows]


def each_run(draws: Draw) -> Iterator[Draw]:
  """The draw of each of R runs."""
  for run in range(len(draws.num_labelled)):
    yield jax.tree.map(operator.itemgetter(run), draws)


def flow_table(
  flows: Flows, eligible: np.ndarray, tasks: Sequence[str] = MAIN_TASKS
) -> FlowTable:
  """Puts on the device what draws need to know of the flows.

  Args:
    flows: N flows.
    eligible: `[N]` bool, the flows of the training partition.
    tasks: names in `tasks.TASKS`.
  """
  return FlowTable(
    classes=jnp.asarray(flows.classes),
    values={task: jnp.asarray(TASKS[task](flows), jnp.float32) for task in tasks},
    eligible=jnp.asarray(eligible),
    class_names=flows.class_names,
    class_sizes=tuple(
      int(np.sum(eligible & (flows.classes == index)))
      for index in range(len(flows.class_names))
    ),
    num_eligible=int(np.sum(eligible)),
  )


def draw(
  table: FlowTable,
  seed: jax.Array,
  labels_per_class: jax.Array,
  *,
  test_per_class: int,
  validation_per_class: int,
  dividers: Mapping[str, jax.Array] | None = None,
  chosen: jax.Array | None = None,
) -> Draw:
  """Draws a run's split, labels and targets from its seed (sections IV-C and V-B).

  Dividers that are not given are the midpoints between the class averages of the
  labelled training flows alone. Pure; `vmap` over `seed` and `labels_per_class` (and
  `dividers`) gives the draws of a sweep.

  Args:
    table: the flows.
    seed: the run's seed. Runs of one seed share the split, and the flows labelled at a
      smaller budget are among those labelled at a larger one.
    labels_per_class: labelled training flows of each class, or `ALL_LABELS`.
    test_per_class: test flows of each class.
    validation_per_class: validation flows of each class.
    dividers: of some of the table's tasks, `[D]` ascending.
    chosen: `[N]` bool, the flows that carry a label if they train, instead of random
      ones; `labels_per_class` then says nothing.

  Raises:
    InputError: a class has too few flows for the split.
  """
  splits.check_sizes(
    table.class_names,
    table.class_sizes,
    test_per_class=test_per_class,
    validation_per_class=validation_per_class,
  )
  num_test = test_per_class * table.num_classes
  num_validation = validation_per_class * table.num_classes
  split_key, run_key = jax.random.split(jax.random.key(seed))
  split = splits.draw_split(
    split_key,
    table.classes,
    table.eligible,
    test_per_class=test_per_class,
    validation_per_class=validation_per_class,
  )
  if chosen is None:
    labelled = splits.labelled(split, table.classes, labels_per_class)
  else:
    labelled = chosen & split.train & (table.classes >= 0)
  label = jnp.where(labelled, table.classes, targets.NO_TARGET)

  dividers, targets_of = dict(dividers or {}), {"class": label}
  for task, values in table.values.items():
    if task not in dividers:
      averages = targets.class_averages(values, label, table.num_classes)
      dividers[task] = targets.midpoint_dividers(averages)
    targets_of[task] = targets.divide(values, dividers[task])

  def indices(mask: jax.Array, size: int) -> jax.Array:
    return jnp.nonzero(mask, size=size)[0].astype(jnp.int32)

  train = indices(split.train, table.num_eligible - num_test - num_validation)
  return Draw(
    key=run_key,
    train=train[jnp.argsort(~labelled[train], stable=True)],
    num_labelled=jnp.sum(labelled),
    validation=indices(split.validation, num_validation),
    test=indices(split.test, num_test),
    targets=targets_of,
    dividers=dividers,
  )


@functools.partial(jax.jit, static_argnames=("test_per_class", "validation_per_class"))
def draw_many(
  table: FlowTable,
  seeds: jax.Array,
  labels_per_class: jax.Array,
  *,
  test_per_class: int,
  validation_per_class: int,
  dividers: Mapping[str, jax.Array] | None = None,
  chosen: jax.Array | None = None,
) -> Draw:
  """`draw` for R runs: every argument but the sizes has R as leading axis."""

  def one(seed, labels_per_class, dividers, chosen) -> Draw:
    return draw(
      table,
      seed,
      labels_per_class,
      test_per_class=test_per_class,
      validation_per_class=validation_per_class,
      dividers=dividers,
      chosen=chosen,
    )

  return jax.vmap(one)(seeds, labels_per_class, dict(dividers or {}), chosen)


def hold_back(draw: Draw, one_in: int) -> tuple[Draw, np.ndarray]:
  """Takes some of the flows without label out of a draw's training flows.

  Args:
    draw: a single run's.
    one_in: so many flows without label, one is taken.

  Returns:
    The draw without them, and which they are.
  """
  train = np.asarray(draw.train)
  held_back = train[int(draw.num_labelled) :: one_in]
  left = train[~np.isin(train, held_back)]
  return draw.replace(train=jnp.asarray(left)), held_back


def truth(flows: Flows, draw: Draw, task: str) -> np.ndarray:
  """`[N]`, what flows are of; unlike in the draw, with the classes a run may not see.

  Args:
    flows: the N flows that the draw is of.
    draw: a single run's; its dividers say what bandwidth and duration classes are.
    task: "class", or one of the draw's tasks.
  """
  return flows.classes if task == "class" else np.asarray(draw.targets[task])
