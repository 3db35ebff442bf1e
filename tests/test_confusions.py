"""A confusion matrix shows each share in the cell of its classes."""

import itertools

import numpy as np

from mtl_traffic import confusions

# a and c are confused with each other, and so are b and d.
CONFUSED = np.array([[6, 0, 4, 0], [0, 9, 0, 1], [3, 0, 7, 0], [0, 5, 1, 4]])


def test_classes_that_are_confused_stand_side_by_side():
  order = confusions.by_similarity(CONFUSED)
  pairs = [set(order[:2]), set(order[2:])]
  assert {0, 2} in pairs and {1, 3} in pairs


def test_the_largest_errors_come_first():
  assert confusions.largest(CONFUSED, most=3) == [(3, 1), (0, 2), (2, 0)]
  assert confusions.largest(np.eye(3)) == []


def test_a_confusion_map_shows_each_share_in_the_cell_of_its_names():
  names = ("a", "b", "c", "d")
  panel = confusions.figure(CONFUSED, names).axes[0]
  columns = [label.get_text() for label in panel.get_xticklabels()]
  rows = [label.get_text() for label in panel.get_yticklabels()]
  assert rows == columns and sorted(rows) == list(names)
  shares = np.asarray(panel.images[0].get_array())
  for (i, true), (j, taken) in itertools.product(enumerate(rows), enumerate(columns)):
    assert shares[i, j] == 10 * CONFUSED[names.index(true), names.index(taken)]
  written = {(text.get_position()[::-1]): text.get_text() for text in panel.texts}
  for (row, column), text in written.items():
    assert text == f"{shares[row, column]:.0f}"
  # With few classes, the diagonal and every error have numbers.
  assert len(written) == np.count_nonzero(CONFUSED)


def test_of_many_classes_only_the_largest_errors_are_written():
  size = 27
  counts = np.eye(size, dtype=int) * 50 + 1
  counts[3, 20] = 40
  names = [f"class {i}" for i in range(size)]
  panel = confusions.figure(counts, names).axes[0]
  assert len(panel.texts) == confusions.MOST_ERRORS
  rows = [label.get_text() for label in panel.get_yticklabels()]
  assert abs(rows.index("class 3") - rows.index("class 20")) == 1
  largest = max(panel.texts, key=lambda text: float(text.get_text()))
  assert largest.get_position() == (rows.index("class 20"), rows.index("class 3"))


def test_what_is_no_class_comes_last_in_a_confusion_map():
  counts = np.concatenate([CONFUSED, [[0], [0], [0], [10]]], axis=1)
  panel = confusions.figure(counts, "abcd", ["unknown"]).axes[0]
  columns = [label.get_text() for label in panel.get_xticklabels()]
  rows = [label.get_text() for label in panel.get_yticklabels()]
  assert columns == [*rows, "unknown"]
  shares = np.asarray(panel.images[0].get_array())
  assert shares[:, 4].tolist() == [50.0 * (row == "d") for row in rows]
