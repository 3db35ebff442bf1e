"""Accuracy against labels per class, averaged over seeds (Tables III and V).

Writes `config.json`, `results.jsonl`, `table.md`, `table.csv` and `label_budget.png` to
the work directory. Called again with the same directory it continues where it stopped,
and more seeds, budgets or methods are added to what is there.
"""

import pathlib
from collections.abc import Mapping

from experiments import runs
from experiments.experiment import Experiment
from mtl_traffic import figures, reporting


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  return reporting.accuracy_table(
    rows,
    ("method", "labels_per_class"),
    _of_paper(paper),
    reference={"method": "multitask"},
    reference_name="multitask",
  )


def _figure(rows: list[dict], paper: Mapping, path: pathlib.Path) -> None:
  figures.label_budget_figure(rows, _of_paper(paper), path)


def _of_paper(paper: Mapping) -> dict[tuple, list[float]]:
  return {(method, labels): values for method, labels, *values in paper["paper"]}


EXPERIMENT = Experiment(
  name="label_budget",
  title="Accuracy against labels per class (Tables III and V)",
  runs=runs.label_budgets,
  table=_table,
  figure=_figure,
)

if __name__ == "__main__":
  EXPERIMENT.main()
