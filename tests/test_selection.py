import numpy as np
import pytest

from mtl_traffic import selection
from mtl_traffic.errors import InputError

NAMES = ("lab-1", "lab-2", "home", "a,b")


@pytest.fixture
def parted(flows):
  partitions = np.repeat([0, 1, 2, 3], [40, 20, 20, 10]).astype(np.int32)
  return flows.replace(partitions=partitions, partition_names=NAMES)


def test_several_partitions_train_and_sets_of_others_test(parted):
  eligible, others = selection.partitions(parted, "lab-*")
  assert np.flatnonzero(eligible).tolist() == list(range(60))
  assert {name: len(of) for name, of in others.items()} == {"home": 20, "a,b": 10}
  eligible, others = selection.partitions(parted, "a,b", "lab-*,home")
  assert eligible.sum() == 10
  assert {name: len(of) for name, of in others.items()} == {"lab-*": 60, "home": 20}
  eligible, others = selection.partitions(parted, "all")
  assert eligible.all() and not others


@pytest.mark.parametrize(
  ("train", "test", "message"),
  [
    ("x", "", "train_partition: the flows have no partition 'x'; they have lab-1, "),
    ("home", "lab-3", "test_partitions: the flows have no partition 'lab-3'"),
    ("home,lab-1", "lab-*", "test_partitions: 'lab-1' is in train_partition too"),
    ("all", "home", "test_partitions: 'home' would test training flows"),
  ],
)
def test_partitions_that_cannot_be_are_named(parted, train, test, message):
  with pytest.raises(InputError, match=message):
    selection.partitions(parted, train, test)


def test_small_classes_are_left_out_pooled_or_without_class(flows):
  flows = flows[:60:1]
  eligible = (flows.classes != 1) | (np.arange(60) < 9)  # 20, 3 and 20 flows.
  same, left_out = selection.with_classes(flows, eligible, min_flows=3)
  assert same is flows and not left_out
  fewer, left_out = selection.with_classes(flows, eligible, min_flows=4)
  assert fewer.class_names == ("a", "c") and left_out == {"b": 3}
  np.testing.assert_array_equal(fewer.classes, np.array([0, -1, 1])[flows.classes])
  pooled, _ = selection.with_classes(flows, eligible, classes=("c",), other="rest")
  assert pooled.class_names == ("c", "rest")
  np.testing.assert_array_equal(pooled.classes, np.array([1, 1, 0])[flows.classes])
  with pytest.raises(InputError, match="the class 'd'; the classes are a, b, c"):
    selection.with_classes(flows, eligible, classes=("a", "d"))
