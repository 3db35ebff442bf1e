from mtl_traffic.comparison import labellings


def _row(how, labels, seed, right, method="forest", **fields):
  """A row of two classes, of whose ten test flows each some are right."""
  wrong = 10 - right
  return {
    "partition": "p",
    "method": method,
    "labelling": how,
    "labels_per_class": labels,
    "seed": seed,
    "packets": 60,
    "class_accuracy": right / 10,
    "class_confusion": [[right, wrong], [wrong, right]],
    **fields,
  }


ROWS = [
  _row("random", 5, 0, 9),
  _row("random", 5, 1, 8),
  _row("uniform", 5, 0, 6),
  _row("uniform", 5, 1, 7),
  _row("chosen", 5, 0, 7),
  _row("chosen", 5, 1, 8),
  _row("chosen", 1, 0, 5),
]


def test_ways_to_label_stand_side_by_side():
  table = labellings.table(ROWS)
  assert table.header == [
    *("method", "labels in all", "per class", "uniform", "chosen", "chosen − uniform"),
    *("macro F1: uniform", "macro F1: chosen", "seeds"),
  ]
  assert table.rows == [
    ["forest", 2, "–", "–", "50.0", "–", "–", "50.0", 1],
    [
      *("forest", 10, "85.0 ± 63.5", "65.0 ± 63.5", "75.0 ± 63.5", "+10.0 ± 0.0"),
      *("65.0 ± 63.5", "75.0 ± 63.5", 2),
    ],
  ]


def test_test_sets_and_methods_have_lines_of_their_own_and_failures_no_value():
  failed = {"class_accuracy": None, "class_confusion": None, "error": "diverged"}
  table = labellings.table(
    [
      *ROWS[:1],
      _row("random", "all", 0, 9, partition="q"),
      _row("chosen", 5, 0, 9, method="net", **failed),
    ]
  )
  assert [line[:4] for line in table.rows] == [
    ["p", "forest", 10, "90.0"],
    ["q", "forest", "all", "90.0"],
    ["p", "net", "5 per class", "–"],
  ]
  assert [line[-1] for line in table.rows] == [1, 1, 0]
