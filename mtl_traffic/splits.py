"""Which flows train, validate and test a run, and which of them carry a label.

Everything follows from one random order of each class: its first flows test, the next
validate, the rest train, and the labels go to the first of those. So label budgets are
nested: the flows labelled at a budget of 10 are among those labelled at 20.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct

from mtl_traffic.errors import InputError


@struct.dataclass
class Split:
  """A split of N flows.

  Attributes:
    test: `[N]` bool, as many of each class.
    validation: `[N]` bool, as many of each class.
    train: `[N]` bool, the rest, flows of unknown class among them.
    label_rank: `[N]` int32, a training flow's place in the random order of its class's
      training flows, counted from 0; meaningless elsewhere.
  """

  test: jax.Array
  validation: jax.Array
  train: jax.Array
  label_rank: jax.Array


def random_rank_in_class(
  key: jax.Array, classes: jax.Array, eligible: jax.Array
) -> jax.Array:
  """Each flow's place in a random order of the eligible flows of its class, `[N]`.

  Args:
    key: random key.
    classes: `[N]` int, −1 = unknown.
    eligible: `[N]` bool; the others come last in their class.
  """
  num_flows = len(classes)
  shuffled = jax.random.permutation(key, num_flows)
  by_class = shuffled[jnp.lexsort((~eligible[shuffled], classes[shuffled]))]
  in_order = classes[by_class]
  starts = jnp.searchsorted(in_order, in_order, side="left")
  ranks = jnp.arange(num_flows) - starts
  return jnp.zeros(num_flows, jnp.int32).at[by_class].set(ranks.astype(jnp.int32))


def draw_split(
  key: jax.Array,
  classes: jax.Array,
  eligible: jax.Array,
  *,
  test_per_class: int,
  validation_per_class: int,
) -> Split:
  """Draws a stratified split; pure, jittable, and the same for the same key.

  Args:
    key: random key.
    classes: `[N]` int, −1 = unknown; such flows always train.
    eligible: `[N]` bool, the flows of the training partition; others are in no part.
    test_per_class: test flows of each class.
    validation_per_class: validation flows of each class.
  """
  held_out = test_per_class + validation_per_class
  rank = random_rank_in_class(key, classes, eligible)
  known = eligible & (classes >= 0)
  return Split(
    test=known & (rank < test_per_class),
    validation=known & (rank >= test_per_class) & (rank < held_out),
    train=eligible & ((classes < 0) | (rank >= held_out)),
    label_rank=rank - held_out,
  )


def labelled(
  split: Split, classes: jax.Array, labels_per_class: jax.Array
) -> jax.Array:
  """The training flows that carry a class label, `[N]` bool.

  Args:
    split: the split.
    classes: `[N]` int, −1 = unknown.
    labels_per_class: flows to label in each class; may be traced.
  """
  return split.train & (classes >= 0) & (split.label_rank < labels_per_class)


def check_sizes(
  class_names: Sequence[str],
  class_sizes: Sequence[int],
  *,
  test_per_class: int,
  validation_per_class: int,
  labels_per_class: int = 0,
) -> None:
  """Raises an InputError that names every class that has too few flows to be split.

  Args:
    class_names: the traffic classes.
    class_sizes: how many flows each of them has.
    test_per_class: test flows of each class.
    validation_per_class: validation flows of each class.
    labels_per_class: labelled training flows of each class.
  """
  needed = test_per_class + validation_per_class + labels_per_class
  small = [
    f"{name!r} has {size}"
    for name, size in zip(class_names, class_sizes, strict=True)
    if size < needed
  ]
  if small:
    raise InputError(
      f"some classes have too few flows: {', '.join(small)}; of each class "
      f"{test_per_class} test, {validation_per_class} validation and "
      f"{labels_per_class} labelled flows are asked for, so ask for fewer, or leave "
      "those classes out"
    )
