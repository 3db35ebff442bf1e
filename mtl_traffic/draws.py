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
    eligible: `[N]` bool, the flows to split.
    groups: which flows stay together in a split; None = each goes by itself.
    class_names: the traffic classes.
    class_sizes: how many flows to split each class has.
    num_eligible: flows to split.
  """

  classes: jax.Array
  values: dict[str, jax.Array]
  eligible: jax.Array
  groups: splits.Groups | None
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
    num_train: how many of these count: where flows stay together, draws differ in
      size, and the last places are padding. `each_run` drops it.
    num_labelled: how many of them carry a label.
    validation: `[V]` int32.
    num_validation: how many of these count.
    test: `[E]` int32.
    num_test: how many of these count.
    targets: per task `[N]` int32 the class to learn, −1 where a run may not know it:
      those of the table's tasks of all flows, "class" of the labelled ones.
    dividers: of each of the table's tasks `[D]`.
    epoch_size: training flows that an epoch walks through; the same for all seeds, so
      that a run does not depend on its company (static).
  """

  key: jax.Array
  train: jax.Array
  num_train: jax.Array
  num_labelled: jax.Array
  validation: jax.Array
  num_validation: jax.Array
  test: jax.Array
  num_test: jax.Array
  targets: dict[str, jax.Array]
  dividers: dict[str, jax.Array]
  epoch_size: int = struct.field(pytree_node=False)

  def labelled(self) -> tuple[np.ndarray, np.ndarray]:
    """The labelled flows of a single run `[L]`, and their classes `[L]`."""
    flows = np.asarray(self.train)[: int(self.num_labelled)]
    return flows, np.asarray(self.targets["class"])[flows]


def each_run(draws: Draw) -> Iterator[Draw]:
  """The draw of each of R runs, without padding."""
  for run in range(len(draws.num_labelled)):
    one = jax.tree.map(operator.itemgetter(run), draws)
    yield one.replace(
      train=one.train[: int(one.num_train)],
      validation=one.validation[: int(one.num_validation)],
      test=one.test[: int(one.num_test)],
    )


def flow_table(
  flows: Flows,
  eligible: np.ndarray,
  tasks: Sequence[str] = MAIN_TASKS,
  groups: np.ndarray | None = None,
) -> FlowTable:
  """Puts on the device what draws need to know of the flows.

  Args:
    flows: N flows.
    eligible: `[N]` bool, the flows to split.
    tasks: names in `tasks.TASKS`.
    groups: `[N]`, flows of the same group stay together; each by itself by default.
  """
  return FlowTable(
    classes=jnp.asarray(flows.classes),
    values={task: jnp.asarray(TASKS[task](flows), jnp.float32) for task in tasks},
    eligible=jnp.asarray(eligible),
    groups=None
    if groups is None
    else splits.groups_of(groups, flows.classes, eligible),
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
  test_per_class: int | float,
  validation_per_class: int | float,
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
    labels_per_class: labelled training flows of each class, or `ALL_LABELS`; a class
      that has fewer gives all it has.
    test_per_class: test flows of each class, or a share of them, see `splits.sizes`.
    validation_per_class: validation flows of each class, or a share.
    dividers: of some of the table's tasks, `[D]` ascending.
    chosen: `[N]` bool, the flows that carry a label if they train, instead of random
      ones; `labels_per_class` then says nothing.

  Raises:
    InputError: a class has too few flows for the split.
  """
  split_key, run_key = jax.random.split(jax.random.key(seed))
  num_test, num_validation = splits.sizes(
    table.class_sizes, test_per_class, validation_per_class
  )
  part_sizes = {"test": num_test, "validation": num_validation}
  epoch_size = table.num_eligible - sum(num_test) - sum(num_validation)
  if table.groups is None:
    splits.check_sizes(
      table.class_names,
      table.class_sizes,
      test_per_class=test_per_class,
      validation_per_class=validation_per_class,
    )
    split = splits.draw_split(split_key, table.classes, table.eligible, **part_sizes)
    most = sum(num_test), sum(num_validation), epoch_size
  else:
    split = splits.draw_group_split(
      split_key, table.classes, table.eligible, table.groups, **part_sizes
    )
    most = (table.num_eligible,) * 3
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

  parts = (split.test, split.validation, split.train)
  num_test, num_validation, num_train = map(jnp.sum, parts)
  test, validation, train = (
    jnp.nonzero(mask, size=size)[0].astype(jnp.int32)
    for mask, size in zip(parts, most, strict=True)
  )
  # Those with a label first, padding last.
  order = jnp.where(jnp.arange(len(train)) < num_train, ~labelled[train], 2)
  return Draw(
    key=run_key,
    train=train[jnp.argsort(order, stable=True)],
    num_train=num_train,
    num_labelled=jnp.sum(labelled),
    validation=validation,
    num_validation=num_validation,
    test=test,
    num_test=num_test,
    targets=targets_of,
    dividers=dividers,
    epoch_size=max(epoch_size, 1),
  )


@functools.partial(jax.jit, static_argnames=("test_per_class", "validation_per_class"))
def draw_many(
  table: FlowTable,
  seeds: jax.Array,
  labels_per_class: jax.Array,
  *,
  test_per_class: int | float,
  validation_per_class: int | float,
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
  """Removes some of the unlabelled training flows from a draw.

  Args:
    draw: a single run's, as `each_run` gives it.
    one_in: every `one_in`-th unlabelled training flow is removed.

  Returns:
    The draw without these flows, and their indices.
  """
  train = np.asarray(draw.train)
  held_back = train[int(draw.num_labelled) :: one_in]
  left = train[~np.isin(train, held_back)]
  shorter = draw.replace(
    train=jnp.asarray(left),
    num_train=jnp.asarray(len(left)),
    epoch_size=max(draw.epoch_size - len(held_back), 1),
  )
  return shorter, held_back


def with_all(table: FlowTable, draw: Draw) -> Draw:
  """A draw in which all flows to split train, each with its class if it has one.

  Args:
    table: the flows that were drawn from.
    draw: a single run's; its key and dividers stay.
  """
  eligible = np.asarray(table.eligible)
  classes = np.where(eligible, table.classes, targets.NO_TARGET)
  train = np.flatnonzero(eligible)
  is_labelled = classes[train] >= 0
  train = np.concatenate([train[is_labelled], train[~is_labelled]])
  none, zero = jnp.zeros(0, jnp.int32), jnp.asarray(0)
  return draw.replace(
    train=jnp.asarray(train, jnp.int32),
    num_train=jnp.asarray(len(train)),
    num_labelled=jnp.asarray(is_labelled.sum()),
    validation=none,
    num_validation=zero,
    test=none,
    num_test=zero,
    targets=draw.targets | {"class": jnp.asarray(classes)},
    epoch_size=len(train),
  )


def truth(flows: Flows, draw: Draw, task: str) -> np.ndarray:
  """`[N]`, what flows are of; unlike in the draw, with the classes a run may not see.

  Args:
    flows: the N flows that the draw is of.
    draw: a single run's; its dividers say what bandwidth and duration classes are.
    task: "class", or one of the draw's tasks.
  """
  return flows.classes if task == "class" else np.asarray(draw.targets[task])
