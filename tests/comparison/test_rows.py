import pytest

from mtl_traffic.comparison import rows as rows_lib
from mtl_traffic.comparison.rows import accuracy_table


def _row(method, labels, seed, accuracy, partition="p", bandwidth=None, **fields):
  return {
    "method": method,
    "labels_per_class": labels,
    "seed": seed,
    "partition": partition,
    "k": 60,
    "packets": 60,
    "class_accuracy": accuracy,
    "bandwidth_accuracy": bandwidth,
    "duration_accuracy": bandwidth,
    **fields,
  }


ROWS = [
  _row("single", 10, 0, 0.70),
  _row("multi", "all", 0, 0.99, bandwidth=0.5),
  _row("multi", 10, 0, 0.90, bandwidth=0.8),
  _row("multi", 10, 1, 0.94, bandwidth=0.8),
  _row("single", 10, 1, 0.72),
]
FIELDS = ("method", "labels_per_class")
PAPER = {("multi", 10): (89.33, 91.0, 93.33), ("single", 10): (None, None, 60.0)}


def test_accuracy_table():
  table = accuracy_table(ROWS, FIELDS, PAPER, {"method": "multi"}, "multi")
  # t(0.975, 1) = 12.706; half the difference of two values is 0.02 or 0.01. The values
  # of single are 0.20 and 0.22 below those of multi with the same seeds.
  assert (
    table.markdown()
    == """\
| method | labels/class | seeds | class       | over flows | balanced | macro F1 | \
bandwidth  | duration   | class − multi | paper: class | bandwidth | duration |
| ------ | ------------ | ----- | ----------- | ---------- | -------- | -------- | \
---------- | ---------- | ------------- | ------------ | --------- | -------- |
| single | 10           | 2     | 71.0 ± 12.7 | –          | –        | –        | \
–          | –          | -21.0 ± 12.7  | 60.0         | –         | –        |
| multi  | 10           | 2     | 92.0 ± 25.4 | –          | –        | –        | \
80.0 ± 0.0 | 80.0 ± 0.0 |               | 93.33        | 89.33     | 91.0     |
| multi  | all          | 1     | 99.0        | –          | –        | –        | \
50.0       | 50.0       |               | –            | –         | –        |
"""
  )


def test_a_line_for_each_tested_partition():
  other = [_row("multi", 10, 0, 0.5, partition="other")]
  table = accuracy_table([*ROWS[:3], *other, *ROWS[3:]], FIELDS)
  assert table.header == [
    "tested on",
    "method",
    "labels/class",
    "seeds",
    "class",
    "over flows",
    "balanced",
    "macro F1",
    "bandwidth",
    "duration",
  ]
  assert [line[0] for line in table.rows] == ["p", "p", "p", "other"]


def test_the_papers_values_stand_beside_the_partition_that_was_trained_on():
  rows = [*ROWS, _row("multi", 10, 0, 0.5, partition="other")]
  table = accuracy_table(rows, FIELDS, PAPER)
  of_paper = {(line[0], line[1], line[2]): line[-3] for line in table.rows}
  assert of_paper["p", "multi", "10"] == 93.33
  assert of_paper["other", "multi", "10"] == "–"


def test_lists_can_tell_lines_apart_and_be_a_reference():
  rows = [
    _row("m", 10, 0, 0.9, tasks=["bandwidth", "duration"]),
    _row("m", 10, 0, 0.7, tasks=[]),
  ]
  table = accuracy_table(
    rows, ("tasks",), reference={"tasks": ["bandwidth", "duration"]}
  )
  assert [line[0] for line in table.rows] == ["bandwidth, duration", "–"]
  assert [line[-1] for line in table.rows] == ["", "-20.0"]


def test_what_is_fair_to_small_classes_follows_from_the_confusion_of_a_row():
  # Of 10 flows of one class all are right, of 2 of the other one: recalls of 1 and 1/2,
  # F1 of 20/21 and 2/3.
  row = _row("multi", 10, 0, 11 / 12, class_confusion=[[10, 0], [1, 1]])
  balanced, f1 = (rows_lib.value(row, field) for field in rows_lib.FAIR)
  assert balanced == pytest.approx(0.75)
  assert f1 == pytest.approx((20 / 21 + 2 / 3) / 2)
  (line,) = accuracy_table([row], FIELDS).rows
  # Wilson's interval of 11 of 12 flows is 0.6461 to 0.9851.
  assert line[3:7] == ["91.7", "64.6–98.5", "75.0", "81.0"]


def test_the_interval_over_flows_is_that_of_one_test_set():
  # Three seeds of 12 test flows do not count as 36, because test sets may overlap.
  rows = [
    _row("multi", 10, seed, 11 / 12, class_confusion=[[10, 0], [1, 1]])
    for seed in range(3)
  ]
  assert rows_lib.over_flows(rows) == rows_lib.over_flows(rows[:1]) == "64.6–98.5"


@pytest.mark.parametrize(
  ("budgets", "few"),
  [((1, 5), 5), ((20, 10, 100, "all"), 10), ((50, 100), 50), (("all",), "all")],
)
def test_few_labels_are_those_closest_to_ten(budgets, few):
  assert rows_lib.few_labels({"labels_per_class": one} for one in budgets) == few


def test_a_row_that_failed_has_none_of_it():
  row = _row("multi", 10, 0, None, class_confusion=None)
  assert [rows_lib.value(row, field) for field in rows_lib.FAIR] == [None, None]
