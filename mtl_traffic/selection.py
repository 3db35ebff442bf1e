"""Selects flows by partition, and merges or leaves out classes."""

import difflib
import fnmatch
from collections.abc import Sequence

import numpy as np

from mtl_traffic.errors import InputError
from mtl_traffic.flows import UNKNOWN, Flows
from mtl_traffic.settings import ALL

_MOST_NAMES = 20  # Names that a message lists.


def partitions(
  flows: Flows, train: str, test: str = ""
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """The flows to split, and the test sets of other partitions.

  Args:
    flows: N flows.
    train: the partitions to split, as names or patterns for `matching`, or `ALL`.
    test: the partitions that are test sets; the partitions of one pattern form one set.
      Empty = every partition that is not split is a test set.

  Returns:
    A mask `[N]` of the flows to split, and the indices of each test set's flows.

  Raises:
    InputError: a partition does not exist, or is named for training and for testing.
  """
  if train == ALL:
    if test:
      raise InputError(
        f"test_partitions: {test!r} would test training flows, because train_partition "
        "is 'all'; set train_partition to the partitions to train on"
      )
    return np.ones(len(flows), bool), {}
  names = flows.partition_names
  of_train = {
    name for part in matching("train_partition", train, names) for name in part[1]
  }
  eligible = np.isin(flows.partitions, [names.index(name) for name in of_train])
  if test:
    sets = matching("test_partitions", test, names)
  else:
    sets = [(name, (name,)) for name in names if name not in of_train]
  if both := sorted(of_train & {name for _, of_set in sets for name in of_set}):
    raise InputError(
      f"test_partitions: {both[0]!r} is in train_partition too; name it in one of them"
    )
  members = {
    name: np.flatnonzero(np.isin(flows.partitions, [names.index(n) for n in of_set]))
    for name, of_set in sets
  }
  return eligible, {name: of_set for name, of_set in members.items() if len(of_set)}


def matching(
  setting: str, wanted: str, names: Sequence[str]
) -> list[tuple[str, tuple[str, ...]]]:
  """Resolves names and patterns, separated by commas, to the names that they match.

  Args:
    setting: the setting that holds them, for the message.
    wanted: "a", "a,b" or "a*,b"; a name may contain commas if it stands alone.
    names: the existing names.

  Raises:
    InputError: a name or pattern matches nothing.
  """
  parts = [wanted] if wanted in names else [p.strip() for p in wanted.split(",")]
  found = []
  for part in parts:
    of_part = tuple(
      name for name in names if name == part or fnmatch.fnmatchcase(name, part)
    )
    if not of_part:
      raise InputError(
        f"{setting}: the flows have no partition {part!r}; they have {_listed(names)}"
        + (f"; {ALL!r} takes all" if setting == "train_partition" else "")
      )
    found.append((part, of_part))
  return found


def with_classes(
  flows: Flows,
  eligible: np.ndarray,
  *,
  classes: Sequence[str] = (),
  min_flows: int = 0,
  other: str = "",
) -> tuple[Flows, dict[str, int]]:
  """Leaves classes out; their flows get the class `other` or become unknown.

  Args:
    flows: N flows.
    eligible: `[N]` bool, the flows to split; `min_flows` counts only these.
    classes: the classes to keep; empty = all.
    min_flows: classes with fewer eligible flows are left out.
    other: the new class of the flows left out; empty = they become unknown. Either way
      they still train bandwidth and duration.

  Returns:
    The flows, and the number of eligible flows of each class that was left out.

  Raises:
    InputError: a class of `classes` does not exist.
  """
  for name in classes:
    if name not in flows.class_names:
      close = difflib.get_close_matches(name, flows.class_names, n=1)
      there = f"the classes are {_listed(flows.class_names)}"
      meant = f"did you mean {close[0]!r}?" if close else there
      raise InputError(f"classes: no flow has the class {name!r}; {meant}")
  sizes = np.bincount(
    flows.classes[eligible & (flows.classes >= 0)], minlength=len(flows.class_names)
  )
  kept = [
    name
    for name, size in zip(flows.class_names, sizes, strict=True)
    if size >= min_flows and (not classes or name in classes)
  ]
  left_out = {
    name: int(size)
    for name, size in zip(flows.class_names, sizes, strict=True)
    if name not in kept
  }
  if not left_out:
    return flows, {}
  names = list(kept)
  if other and sum(left_out.values()) and other not in names:
    names.append(other)
  code = {name: index for index, name in enumerate(names)}
  rest = code.get(other, UNKNOWN)
  # Index −1, an unknown class, picks the appended −1.
  codes = np.array([code.get(n, rest) for n in flows.class_names] + [UNKNOWN], np.int32)
  return flows.replace(classes=codes[flows.classes], class_names=tuple(names)), left_out


def _listed(names: Sequence[str]) -> str:
  some = ", ".join(names[:_MOST_NAMES]) or "none"
  more = len(names) - _MOST_NAMES
  return f"{some} and {more} more" if more > 0 else some
