"""What is said of settings that do not fit the flows."""

import numpy as np
import pytest

from mtl_traffic import draws, notes
from mtl_traffic.settings import Settings


@pytest.fixture
def table(flows):
  """90 flows, of which the classes a, b and c have 1, 30 and 59."""

  def table(groups=None):
    uneven = flows.replace(classes=np.repeat([0, 1, 2], [1, 30, 59]).astype(np.int32))
    return draws.flow_table(uneven, np.ones(90, bool), groups=groups)

  return table


SHARES = {"test_per_class": 0.1, "validation_per_class": 0.1}


def test_nothing_is_said_where_all_fits(flows):
  even = draws.flow_table(flows, np.ones(90, bool))
  assert notes.of(even, Settings.of(SHARES), {}, 5) == []


def test_each_kind_is_one_line_for_all_classes(table):
  settings = Settings.of(SHARES)
  left, few, untested = notes.of(table(), settings, {"x": 2, "y": 3}, 25)
  assert left.startswith("left out x (2), y (3): they train bandwidth and duration")
  # Three test and three validate of b: 24 train.
  assert few.startswith("too few flows for 25 labels: a (1), b (24);")
  assert untested.startswith("learnt, but not tested: a (1);")


def test_pooled_classes_are_named(table):
  settings = Settings.of(SHARES | {"other_class": "rest"})
  line, *_ = notes.of(table(), settings, {"x": 2}, 1)
  assert line == "left out x (2): they are 'rest'"


def test_classes_of_a_single_group_are_named(table):
  groups = np.repeat([0, 1, 2, 3], [1, 30, 30, 29])
  settings = Settings.of(SHARES | {"split_by": "capture"})
  (line,) = notes.of(table(groups), settings, {}, 1)
  assert "fewer than two groups (split_by = 'capture'): a (1), b (1);" in line
