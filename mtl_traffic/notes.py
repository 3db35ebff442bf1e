"""What of the settings does not fit the flows, and is done otherwise: a line each."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtl_traffic import splits
from mtl_traffic.draws import FlowTable
from mtl_traffic.settings import Settings

_MOST_CLASSES, _LONGEST_NAME = 30, 40  # Named in a line.


def of(
  table: FlowTable, settings: Settings, left_out: Mapping[str, int], labels: int
) -> list[str]:
  """What does not fit, and what to set.

  Args:
    table: the flows.
    settings: see `Settings`.
    left_out: flows to split of each class that is left out.
    labels: the most labels that each class is to have.
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
      f"fewer than {labels} labels, as they have no more: {_listed(few)}; lower "
      "labels_per_class for as many of each"
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
        f"learnt, but not tested, as they fill fewer than two groups "
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
  "they train bandwidth and duration alone; set other_class to learn them as one"
)


def _listed(numbers: Mapping[str, int]) -> str:
  """Classes with a number each, as many as a line holds."""
  some: Sequence[str] = [
    f"{name if len(name) <= _LONGEST_NAME else f'{name[:_LONGEST_NAME]}…'} ({number})"
    for name, number in list(numbers.items())[:_MOST_CLASSES]
  ]
  more = len(numbers) - len(some)
  return ", ".join(some) + (f" and {more} more" if more else "")
