import numpy as np

from mtl_traffic.comparison import published


def _row(partition, labels, seed, accuracy, counts, method="ours"):
  return {
    "partition": partition,
    "labels_per_class": labels,
    "method": method,
    "seed": seed,
    "class_accuracy": accuracy,
    "class_confusion": counts,
  }


# Of 3 + 1 flows 3 are right: F1 of 4/5 and 2/3, weighted 3 : 1.
ROWS = [
  _row("leftover", 100, 0, 0.75, [[2, 1], [0, 1]]),
  _row("leftover", 100, 1, 0.75, [[2, 1], [0, 1]]),
  _row("leftover", 10, 0, 0.5, [[1, 1], [1, 1]]),
  _row("leftover", 100, 0, None, None, method="failed"),
]
PUBLISHED = (
  ("script", "all", "k-NN", 97.87, None, 96.5, 10, "theirs, table"),
  ("leftover", 100, "CNN", 98.38, 0.18, None, 15, "others, table"),
)


def test_published_figures_stand_among_ours_by_accuracy():
  assert (
    published.table(ROWS, PUBLISHED).markdown()
    == """\
| tested on | labels/class | method | runs | class      | weighted F1 | source        |
| --------- | ------------ | ------ | ---- | ---------- | ----------- | ------------- |
| leftover  | 10           | ours   | 1    | 50.0       | 50.0        | here          |
| leftover  | 100          | CNN    | 15   | 98.4 ± 0.2 | –           | others, table |
| leftover  | 100          | ours   | 2    | 75.0 ± 0.0 | 76.7 ± 0.0  | here          |
| leftover  | 100          | failed | 0    | –          | –           | here          |
| script    | all          | k-NN   | 10   | 97.9       | 96.5        | theirs, table |
"""
  )


def test_our_runs_are_not_pooled_with_those_of_another_method():
  rows = [_row("p", 10, 0, 0.5, [[1]]), _row("p", 10, 0, 0.7, [[1]], method="other")]
  accuracies = [line[4] for line in published.table(rows, ()).rows]
  assert accuracies == ["70.0", "50.0"]


def test_a_row_read_back_from_json_has_lists():
  asked = published.table(ROWS, [list(row) for row in PUBLISHED])
  np.testing.assert_equal(asked.rows, published.table(ROWS, PUBLISHED).rows)
