"""The page that compares several datasets: the findings on each, side by side."""

import pathlib
from collections.abc import Mapping

import numpy as np

from mtl_traffic import files
from mtl_traffic.comparison import figures, findings
from mtl_traffic.comparison.findings import Findings
from mtl_traffic.comparison.results import Results
from mtl_traffic.comparison.rows import budget_order, estimate, few_labels, group, where
from mtl_traffic.escapes import for_markdown
from mtl_traffic.pages import Heading, Part, Shown
from mtl_traffic.tables import Table, percent


def parts(
  results: Mapping[str, Results], found: Mapping[str, Findings], workdir: pathlib.Path
) -> list[Part]:
  """The parts of the page; writes its figure.

  Args:
    results: results of each dataset, by the name of its Markdown page.
    found: the findings on each, by the same names.
    workdir: the folder of the page.
  """
  lines = []
  for page, one in results.items():
    lines.append(f"- [{for_markdown(one.title)}]({page})")
    lines += [f"    - {said}" for said in findings.sentences(found[page], {})]
  datasets = [one.meaning["dataset"] for one in results.values()]
  compared = {
    one.meaning["dataset"] if datasets.count(datasets[i]) == 1 else one.title: rows
    for i, one in enumerate(results.values())
    if (rows := one.trained_on("label_budget"))
  }
  shown: list[Part] = [Heading("Results", level=1), "\n".join(lines)]
  if compared:
    name = "report/datasets.png"
    files.write_figure(workdir / name, figures.datasets_figure(compared))
    shown += [
      Heading("All methods on all datasets"),
      "Class accuracy in %, by labels per class; mean over seeds ± half of its 95 % "
      "t-interval. The interval describes the variation between random splits of the "
      "same flows, not new traffic.",
      table(compared).markdown(),
      Shown("Class accuracy against labels per class", name),
    ]
  return shown


def table(rows: Mapping[str, list[dict]]) -> Table:
  """Class accuracy of each method on each dataset, by labels per class.

  Args:
    rows: rows of each dataset, by its name.
  """
  everything = [row for of_dataset in rows.values() for row in of_dataset]
  budgets = sorted({row["labels_per_class"] for row in everything}, key=budget_order)
  lines = []
  for dataset, of_dataset in rows.items():
    few = few_labels(of_dataset)

    def at_few(item: tuple[tuple, list[dict]], few: int | str = few) -> float:
      mean = estimate(where(item[1], labels_per_class=few), "class_accuracy").mean
      return -np.inf if np.isnan(mean) else mean

    methods = group(of_dataset, "method")
    for (method,), members in sorted(methods.items(), key=at_few, reverse=True):
      of_budgets = [where(members, labels_per_class=labels) for labels in budgets]
      cells = [percent(estimate(of, "class_accuracy")) for of in of_budgets]
      lines.append([dataset, method, *cells])
  return Table(["dataset", "method", *budgets], lines)
