"""Draws a run's split, labels and targets."""

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

ALL_LABELS = np.iinfo(np.int32).max  # A labels_per_class that labels every flow.


@struct.dataclass
class FlowTable:
  """The columns of N flows that a draw reads, on the device.

  Attributes:
    classes: `[N]` int32, −1 = unknown.
    values: for each task (bandwidth in bytes/s, duration in s) `[N]` float32; NaN where
      a flow has no value.
    eligible: `[N]` bool, the flows to split.
    groups: which flows stay together in a split; None = flows are split one by one.
    class_names: the traffic classes.
    class_sizes: the number of flows to split in each class.
    num_eligible: the number of flows to split.
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
  """The flows and targets of one run. All methods are compared on the same draws.

  If flows are split by groups, the parts of different draws differ in size. Their index
  arrays then end in padding, which `each_run` removes.

  Attributes:
    key: random key of the run, for the method's own random numbers.
    train: `[T]` int32, indices of the training flows; labelled flows come first.
    num_train: how many entries of `train` are not padding.
    num_labelled: how many training flows are labelled.
    validation: `[V]` int32, indices of the validation flows.
    num_validation: how many entries of `validation` are not padding.
    test: `[E]` int32, indices of the test flows.
    num_test: how many entries of `test` are not padding.
    targets: per task `[N]` int32, the class to learn. The table's tasks have a target
      for every flow that has a value, "class" for labelled flows only; others are −1.
    dividers: per task of the table `[D]`.
    epoch_size: training flows in an epoch. It is the same for all seeds, so that a
      run's result does not depend on the runs that are trained with it (static).
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
  """Yields the draw of each of R runs, without padding."""
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
  """Makes a table of the columns that draws read, and puts it on the device.

  Args:
    flows: N flows.
    eligible: `[N]` bool, the flows to split.
    tasks: names in `tasks.TASKS`.
    groups: `[N]`, flows of the same group stay together; by default flows are split
      one by one.
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

  Dividers that are not given are midpoints between class averages. The averages are
  computed from the labelled training flows only. Pure; `vmap` over `seed` and
  `labels_per_class` (and `dividers`) gives the draws of a sweep.

  Args:
    table: the flows.
    seed: the run's seed. Runs of one seed share the split, and the flows labelled at a
      smaller budget are among those labelled at a larger one.
    labels_per_class: labelled training flows of each class, or `ALL_LABELS`. A smaller
      class is labelled completely.
    test_per_class: test flows of each class, or a share of them, see `splits.sizes`.
    validation_per_class: validation flows of each class, or a share.
    dividers: for any of the table's tasks, `[D]` ascending.
    chosen: `[N]` bool. If given, exactly the training flows among these are labelled,
      and `labels_per_class` is ignored.

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
  # Labelled flows first, padding last.
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
  """`draw` for R runs: all arguments except table and sizes have a leading axis R."""

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
    draw: the draw of a single run, as `each_run` gives it.
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
  """A draw that trains on all flows to split, with all labels that they have.

  Args:
    table: the flows that were drawn from.
    draw: the draw of a single run; its key and dividers are kept.
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
  """The true class of each flow in a task, `[N]`, labels hidden from the run included.

  Args:
    flows: the N flows that the draw was made from.
    draw: the draw of a single run; its dividers define bandwidth and duration classes.
    task: "class", or one of the draw's tasks.
  """
  return flows.classes if task == "class" else np.asarray(draw.targets[task])
