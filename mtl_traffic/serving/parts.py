"""What the flows are that a model was trained and is tested on."""

import numpy as np

from mtl_traffic import tables
from mtl_traffic.draws import Draw
from mtl_traffic.inputs import Inputs


def describe(inputs: Inputs, draw: Draw) -> str:
  """Whether the test flows are balanced and of other captures, and each class's flows.

  Args:
    inputs: the flows.
    draw: a single run's, without padding.

  Returns:
    A paragraph, and a table of the flows of each class.
  """
  flows = inputs.flows
  names = flows.class_names
  test, validation, train = map(np.asarray, (draw.test, draw.validation, draw.train))
  labelled, _ = draw.labelled()

  def count(members: np.ndarray) -> np.ndarray:
    classes = flows.classes[members]
    return np.bincount(classes[classes >= 0], minlength=len(names))

  columns = [count(part) for part in (labelled, validation, test)]
  tested = columns[-1]
  some = tested[tested > 0]
  if not len(some):
    balance = "None of them has a class."
  elif some.min() == some.max():
    balance = f"They are balanced: {some[0]} of each class that is tested."
  else:
    balance = (
      f"They are not balanced: {some.min()} to {some.max()} of each class that is "
      "tested, so accuracy is mostly that of the larger classes."
    )
  untested = int((tested == 0).sum())
  if untested:
    balance += f" {untested} of {len(names)} classes are not tested."
  text = (
    f"Of {len(test):,} test flows, {int(tested.sum()):,} have a class. {balance} "
    f"{_apart(inputs, test, train)}\n\n"
  )
  table = tables.markdown_table(
    ["class", "labelled training flows", "validation flows", "test flows"],
    zip(names, *columns, strict=True),
  )
  return text + table


def _apart(inputs: Inputs, test: np.ndarray, train: np.ndarray) -> str:
  """Whether test flows are from where training flows are."""
  flows = inputs.flows
  by_group = inputs.table.groups is not None
  if by_group:
    of = np.asarray(inputs.table.groups.of_flows)
  elif len(flows.partition_names) > 1:
    of = flows.partitions
  else:
    return "They are drawn at random from the flows that training flows are from."
  what = "groups (split_by)" if by_group else "captures or partitions"
  shared = np.isin(of[test], of[train]).sum()
  if not shared:
    return f"They are of other {what} than the training flows."
  return (
    f"{shared / max(len(test), 1):.0%} of them are of {what} that training flows are "
    "of too, which may flatter the model; split_by = 'capture' keeps them apart."
  )
