"""Warns, in a line each, of settings that the flows cannot satisfy."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtl_traffic import splits
from mtl_traffic.draws import FlowTable
from mtl_traffic.settings import Settings

_MOST_CLASSES, _LONGEST_NAME = 30, 40  # Limits on the classes named in a line.


def of(
  table: FlowTable, settings: Settings, left_out: Mapping[str, int], labels: int
) -> list[str]:
  """Returns the warnings; each says what is done instead, and what to change.

  Args:
    table: the flows.
    settings: see `Settings`.
    left_out: the classes that are left out, each with its number of flows to split.
    labels: the largest number of labels per class that is asked for.
  """
  test, validation = splits.sizes(
    table.class_sizes, settings.test_per_class, settings.validation_per_class
  )
  sizes = dict(zip(table.class_names, table.class_sizes, strict=True))
  lines = []
  left_out = {name: size for name, size in left_out.items() if size}
  if left_out:
    lines.append(
      f"left out {_listed(left_out)}: "
      + (f"they are {settings.other_class!r}" if settings.other_class else _UNKNOWN)
    )
  few = {
    name: left
    for (name, size), *held_out in zip(sizes.items(), test, validation, strict=True)
    if 0 < (left := size - sum(held_out)) < labels
  }
  if few:
    lines.append(
      f"too few flows for {labels} labels: {_listed(few)}; lower labels_per_class to "
      "give every class equally many"
    )
  if table.groups is not None:
    known = np.asarray(table.groups.classes)
    groups = np.bincount(known[known >= 0], minlength=table.num_classes)
    single = {
      name: int(n)
      for name, n in zip(sizes, groups, strict=True)
      if n < 2 and sizes[name]
    }
    if single:
      lines.append(
        f"learnt, but not tested, because they have fewer than two groups "
        f"(split_by = {settings.split_by!r}): {_listed(single)}; record "
        "more, or leave split_by empty"
      )
    return lines
  untested = {
    name: size
    for (name, size), number in zip(sizes.items(), test, strict=True)
    if not number and size
  }
  if untested:
    lines.append(
      f"learnt, but not tested: {_listed(untested)}; label more flows, or set "
      "min_flows_per_class to leave such classes out"
    )
  return lines


_UNKNOWN = (
  "they train bandwidth and duration only; set other_class to learn them as one class"
)


def _listed(numbers: Mapping[str, int]) -> str:
  """Lists classes with their numbers, and how many more there are."""
  some: Sequence[str] = [
    f"{name if len(name) <= _LONGEST_NAME else f'{name[:_LONGEST_NAME]}…'} ({number})"
    for name, number in list(numbers.items())[:_MOST_CLASSES]
  ]
  more = len(numbers) - len(some)
  return ", ".join(some) + (f" and {more} more" if more else "")
