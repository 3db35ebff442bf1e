"""Labels of random flows beside labels of chosen flows, at equal totals."""

from collections.abc import Iterable, Sequence

from mtl_traffic.comparison.rows import budget_order, difference, estimate, group, where
from mtl_traffic.tables import Table, percent

# How flows are labelled (the setting `labelling`), and what it is called.
NAMES = {"random": "per class", "uniform": "uniform", "chosen": "chosen"}
INTRODUCTION = (
  "Class accuracy in %, mean over seeds ± half of its 95 % t-interval. The same number "
  "of flows is labelled in three ways: as many random ones of each class (*per class*, "
  "for which the classes have to be known beforehand), random ones of all classes "
  "together (*uniform*), or those that `suggest-labels` chooses (*chosen*). "
  "Differences are paired by seed."
)
_MACRO_F1 = "class_macro_f1"


def table(rows: Iterable[dict]) -> Table:
  """Class accuracy and macro F1 of each method and number of labels.

  Args:
    rows: rows of `results.jsonl`.
  """
  rows = list(rows)
  several = len(group(rows, "partition")) > 1
  lines = []
  for (partition, method), members in group(rows, "partition", "method").items():
    budgets = group(members, "labels_per_class")
    for (labels,) in sorted(budgets, key=lambda budget: budget_order(*budget)):
      ways = {how: where(budgets[labels,], labelling=how) for how in NAMES}
      gain = difference(ways["chosen"], ways["uniform"], "class_accuracy", "labelling")
      lines.append(
        [
          *[partition] * several,
          method,
          total(members, labels),
          *(percent(estimate(of, "class_accuracy")) for of in ways.values()),
          percent(gain, "+.1f"),
          *(percent(estimate(ways[how], _MACRO_F1)) for how in ("uniform", "chosen")),
          len({row["seed"] for row in budgets[labels,] if not row.get("error")}),
        ]
      )
  header = ["tested on"] * several + ["method", "labels in all", *NAMES.values()]
  header += ["chosen − uniform", "macro F1: uniform", "macro F1: chosen", "seeds"]
  return Table(header, lines)


def total(rows: Sequence[dict], labels: int | str) -> int | str:
  """The labels in all, of so many per class; text if that is not known."""
  classes = [len(row["class_confusion"]) for row in rows if row.get("class_confusion")]
  if isinstance(labels, str):
    return labels
  return labels * classes[0] if classes else f"{labels} per class"
