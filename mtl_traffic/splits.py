"""Splits flows into training, validation and test flows, and draws the labelled ones.

The flows of each class are shuffled once. The first are test flows, the next are
validation flows, and the rest are training flows, of which the first are labelled. So
label budgets are nested: the flows labelled at a budget of 10 are among those labelled
at 20.

Flows can also be kept together, for example by capture. Then whole groups are shuffled,
and the first groups of each class are the test groups.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from mtl_traffic.errors import InputError

_LONGEST_NAME = 40  # Characters of a class name in a message that names many.


@struct.dataclass
class Split:
  """A split of N flows.

  Attributes:
    test: `[N]` bool.
    validation: `[N]` bool.
    train: `[N]` bool, the rest, flows of unknown class among them.
    label_rank: `[N]` int32, a training flow's place in the random order of its class's
      training flows, counted from 0; meaningless elsewhere.
  """

  test: jax.Array
  validation: jax.Array
  train: jax.Array
  label_rank: jax.Array


@struct.dataclass
class Groups:
  """N flows in G groups. All flows of a group are on the same side of a split.

  Attributes:
    of_flows: `[N]` int32, the group of each flow.
    classes: `[G]` int32, the most frequent class in each group; −1 if all its flows are
      of unknown class. Such a group is a training group.
    sizes: `[G]` int32, the number of flows of known class in each group.
  """

  of_flows: jax.Array
  classes: jax.Array
  sizes: jax.Array


def random_rank_in_class(
  key: jax.Array, classes: jax.Array, eligible: jax.Array
) -> jax.Array:
  """Each flow's place in a random order of the eligible flows of its class, `[N]`.

  Args:
    key: random key.
    classes: `[N]` int, −1 = unknown.
    eligible: `[N]` bool; flows that are not eligible come last in their class.
  """
  num_flows = len(classes)
  shuffled = jax.random.permutation(key, num_flows)
  by_class = shuffled[jnp.lexsort((~eligible[shuffled], classes[shuffled]))]
  in_order = classes[by_class]
  starts = jnp.searchsorted(in_order, in_order, side="left")
  ranks = jnp.arange(num_flows) - starts
  return jnp.zeros(num_flows, jnp.int32).at[by_class].set(ranks.astype(jnp.int32))


def sizes(
  class_sizes: Sequence[int],
  test_per_class: int | float,
  validation_per_class: int | float,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """The numbers of test flows and of validation flows of each class.

  A share below 1 is rounded to at least one flow. One flow is always left for training:
  of two flows one is a test flow, and a single flow is a training flow. Numbers from 1
  on are returned unchanged; `check_sizes` checks that the class has that many flows. A
  negative number takes all flows but so many, and none of a class that has no more.

  Args:
    class_sizes: how many flows each class has.
    test_per_class: test flows of each class, or a share of them; −100 = all but 100.
    validation_per_class: validation flows of each class, or a share; −80 = all but 80
      of those that do not test.
  """

  def wanted(per_class: int | float, size: int, left: int) -> int:
    if per_class < 0:
      return max(left + int(per_class), 0)
    if per_class == 0 or per_class >= 1:
      return int(per_class)
    return min(max(round(per_class * size), 1), max(left - 1, 0))

  test = tuple(wanted(test_per_class, size, size) for size in class_sizes)
  validation = tuple(
    wanted(validation_per_class, size, size - taken)
    for size, taken in zip(class_sizes, test, strict=True)
  )
  return test, validation


def draw_split(
  key: jax.Array,
  classes: jax.Array,
  eligible: jax.Array,
  *,
  test: Sequence[int] | jax.Array,
  validation: Sequence[int] | jax.Array,
) -> Split:
  """Draws a stratified split. Pure and jittable; equal keys give equal splits.

  Args:
    key: random key.
    classes: `[N]` int, −1 = unknown; such flows always train.
    eligible: `[N]` bool, the flows to split; others are in no part.
    test: `[C]` number of test flows of each class.
    validation: `[C]` number of validation flows of each class.
  """
  of_class = _part_sizes(test, validation)
  num_test, held_out = of_class[0][classes], of_class[1][classes]
  rank = random_rank_in_class(key, classes, eligible)
  known = eligible & (classes >= 0)
  return Split(
    test=known & (rank < num_test),
    validation=known & (rank >= num_test) & (rank < held_out),
    train=eligible & ((classes < 0) | (rank >= held_out)),
    label_rank=rank - held_out,
  )


def draw_group_split(
  key: jax.Array,
  classes: jax.Array,
  eligible: jax.Array,
  groups: Groups,
  *,
  test: Sequence[int] | jax.Array,
  validation: Sequence[int] | jax.Array,
) -> Split:
  """Like `draw_split`, but splits whole groups, stratified by their classes.

  The groups of a class are shuffled. With two groups or more, the first is a test group
  and the last a training group. With three or more, the second is a validation group.
  Further groups are added to the test and validation groups as long as that brings the
  class closer to its numbers of flows. A class with a single group is learnt, but not
  tested.

  Args:
    key: random key.
    classes: `[N]` int, −1 = unknown.
    eligible: `[N]` bool, the flows to split; others are in no part.
    groups: of the N flows.
    test: `[C]` wanted number of test flows of each class.
    validation: `[C]` wanted number of validation flows of each class.
  """
  num_test, held_out = _part_sizes(test, validation)
  num_classes = len(num_test)
  group_key, label_key = jax.random.split(key)
  of = groups.classes
  known = of >= 0
  rank = random_rank_in_class(group_key, of, jnp.ones_like(known))
  # The position of each group's middle among the flows of its class, in that order.
  order = jnp.lexsort((rank, of))
  before = jnp.cumsum(groups.sizes[order]) - groups.sizes[order]
  first = jnp.searchsorted(of[order], of[order], side="left")
  middle = before - before[first] + groups.sizes[order] / 2
  middle = jnp.zeros(len(of)).at[order].set(middle)

  def count(mask: jax.Array) -> jax.Array:
    return jnp.zeros(num_classes, jnp.int32).at[of].add(mask & known)

  there = count(jnp.ones_like(known))
  tested = (there >= 2) & (num_test > 0)
  validated = (there >= 2 + tested) & (held_out > num_test)
  most = jnp.maximum(there - 1, 0)
  last_test = jnp.clip(count(middle < num_test[of]), tested, most - validated)
  last_held_out = jnp.clip(
    count(middle < held_out[of]), last_test + validated, jnp.maximum(most, last_test)
  )
  tests = known & (rank < last_test[of])
  held = known & (rank < last_held_out[of])
  train = eligible & ~held[groups.of_flows]
  return Split(
    test=eligible & tests[groups.of_flows],
    validation=eligible & (held & ~tests)[groups.of_flows],
    train=train,
    label_rank=random_rank_in_class(label_key, classes, train),
  )


def groups_of(names: np.ndarray, classes: np.ndarray, eligible: np.ndarray) -> Groups:
  """Groups flows by name.

  Args:
    names: `[N]`, of any type that can be sorted.
    classes: `[N]` int, −1 = unknown.
    eligible: `[N]` bool, the flows to split. Only these count for the classes and sizes
      of groups.
  """
  _, of_flows = np.unique(names, return_inverse=True)
  of_flows = of_flows.reshape(-1)
  known = eligible & (classes >= 0)
  counts = np.zeros(
    (int(of_flows.max(initial=-1)) + 1, classes.max(initial=0) + 1), int
  )
  np.add.at(counts, (of_flows[known], classes[known]), 1)
  group_sizes = counts.sum(axis=1)
  of_most = np.where(group_sizes > 0, counts.argmax(axis=1), -1)
  return Groups(
    jnp.asarray(of_flows, jnp.int32),
    jnp.asarray(of_most, jnp.int32),
    jnp.asarray(group_sizes, jnp.int32),
  )


def labelled(
  split: Split, classes: jax.Array, labels_per_class: jax.Array
) -> jax.Array:
  """The training flows that carry a class label, `[N]` bool.

  Args:
    split: the split.
    classes: `[N]` int, −1 = unknown.
    labels_per_class: flows to label in each class; may be traced. A smaller class is
      labelled completely.
  """
  return split.train & (classes >= 0) & (split.label_rank < labels_per_class)


def check_sizes(
  class_names: Sequence[str],
  class_sizes: Sequence[int],
  *,
  test_per_class: int | float,
  validation_per_class: int | float,
  train_per_class: int = 0,
) -> None:
  """Raises an InputError that names every class with too few flows to be split.

  Shares below 1 never fail.

  Args:
    class_names: the traffic classes.
    class_sizes: the number of flows of each class.
    test_per_class: test flows of each class.
    validation_per_class: validation flows of each class.
    train_per_class: training flows that each class needs.
  """
  if max(test_per_class, validation_per_class) < 1:
    return
  of_classes = zip(
    class_names,
    class_sizes,
    *sizes(class_sizes, test_per_class, validation_per_class),
    strict=True,
  )
  small = [
    f"{_short(name)} has {size}"
    for name, size, num_test, num_validation in of_classes
    if size < num_test + num_validation + train_per_class
  ]
  if small:
    needed = sum(n for n in (test_per_class, validation_per_class) if n >= 1)
    needed += train_per_class
    raise InputError(
      f"some classes have too few flows: {', '.join(small)}; of each class "
      f"{_asked(test_per_class)} test, {_asked(validation_per_class)} validation and "
      f"{train_per_class} training flows are asked for. Ask for fewer, for shares of "
      "each class (test_per_class and validation_per_class of 0.2), or leave those "
      f"classes out (min_flows_per_class of {needed:g})"
    )


def _part_sizes(test, validation) -> tuple[jax.Array, jax.Array]:
  """`[C]` test flows, and `[C]` test plus validation flows."""
  test = jnp.asarray(test, jnp.int32)
  return test, test + jnp.asarray(validation, jnp.int32)


def _asked(per_class: int | float) -> str:
  return f"all but {-per_class:g}" if per_class < 0 else f"{per_class:g}"


def _short(name: str) -> str:
  return repr(name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…")
