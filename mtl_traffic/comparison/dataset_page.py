"""The page on one dataset: findings, tables and figures, claims, and provenance."""

import pathlib
import re
from collections.abc import Sequence

import numpy as np

from mtl_traffic import charts, confusions, evaluation, files, provenance
from mtl_traffic.comparison import claims, figures, findings
from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.comparison.experiment import INTRODUCTION
from mtl_traffic.comparison.findings import Findings
from mtl_traffic.comparison.results import Results
from mtl_traffic.comparison.rows import (
  budget_order,
  difference,
  estimate,
  few_labels,
  group,
  where,
)
from mtl_traffic.comparison.workdir import read_config
from mtl_traffic.errors import InputError
from mtl_traffic.escapes import for_markdown
from mtl_traffic.pages import Folded, Heading, Part, Shown, contents
from mtl_traffic.tables import Table, markdown_table, percent

_LONG = 12  # Lines; longer tables are folded.
_MOST_METHODS = 6  # Columns of the table of classes.
_CLAIMS = Heading("What the paper claims")
_INTERVALS = Heading("What the intervals mean")
_MADE = Heading("How this was made")
_CONFUSED = Heading("Which classes are confused")
_WORD = re.compile(r"[^\w-]")


def parts(
  results: Results, found: Findings, workdir: pathlib.Path, stem: str
) -> list[Part]:
  """The parts of the page; writes its figures.

  Args:
    results: see `Results`.
    found: the findings in them.
    workdir: the folder of the page.
    stem: the page's name without suffix, also the folder of its figures.
  """
  links = {"intervals": f"#{_INTERVALS.anchor}", "claims": f"#{_CLAIMS.anchor}"}
  body: list[Part] = []
  for name, rows in results.experiments.items():
    if name == "label_budget":
      body += _label_budget(results, workdir, stem)
      body += _confusions(results, found, workdir, stem)
      body += _claims(found)
    else:
      experiment = EXPERIMENTS[name]
      body += [Heading(experiment.title)]
      if experiment.introduction != INTRODUCTION:
        body += [experiment.introduction]
      body += [_drawn(name, rows, results, workdir, stem)]
      body += [_table("Accuracies", experiment.table(rows, results.paper))]
  if "label_budget" not in results.experiments:
    body = _claims(found) + body
  body += _statistics(results.meaning["dataset"], workdir)
  body += [_INTERVALS, _intervals(results), _MADE, *_how_made(results)]
  return [
    Heading(results.title, level=1),
    "\n".join(f"- {one}" for one in findings.sentences(found, links)),
    _flows(results),
    "**Contents**\n\n" + contents(body),
    *body,
  ]


def _flows(results: Results) -> str:
  meaning = results.meaning
  return (
    f"{meaning['num_flows']:,} flows of {len(meaning['classes'])} classes. For each "
    f"seed, {_size(meaning['test_per_class'])} of the flows of each class are drawn "
    f"for testing and {_size(meaning['validation_per_class'])} for validation."
  )


def _size(per_class: int | float) -> str:
  if per_class < 0:
    return f"all but {-per_class:g}"
  return f"{100 * per_class:g} %" if 0 < per_class < 1 else f"{per_class:g}"


def _label_budget(results: Results, workdir: pathlib.Path, stem: str) -> list[Part]:
  experiment, rows = EXPERIMENTS["label_budget"], results.experiments["label_budget"]
  methods = {row["method"] for row in rows}
  shown = figures.methods_shown(rows)
  left = sorted(methods - set(shown))
  note = f" The figure leaves out {for_markdown(', '.join(left))}." if left else ""
  return [
    Heading(experiment.title),
    f"Class accuracy in %, mean over seeds ± half of its 95 % t-interval.{note}",
    budget_table(results.trained_on("label_budget"), results.paper).markdown(),
    _drawn("label_budget", rows, results, workdir, stem),
    Folded(
      "All tasks, measures and test sets",
      [INTRODUCTION, experiment.table(rows, results.paper).markdown()],
    ),
  ]


def budget_table(rows: Sequence[dict], paper: dict) -> Table:
  """Class accuracy of each method by labels per class, the best with few labels first.

  Args:
    rows: rows of `results.jsonl`, of one partition.
    paper: the paper's values, which are the last lines.
  """
  budgets = sorted({row["labels_per_class"] for row in rows}, key=budget_order)
  few = few_labels(rows)
  methods = group(rows, "method")

  def at_few(item: tuple[tuple, list[dict]]) -> float:
    mean = estimate(where(item[1], labels_per_class=few), "class_accuracy").mean
    return -np.inf if np.isnan(mean) else mean

  lines: list[list[object]] = []
  papers = where(rows, method=charts.PAPERS, labels_per_class=few)
  for (method,), members in sorted(methods.items(), key=at_few, reverse=True):
    of_few = where(members, labels_per_class=few)
    gain = difference(of_few, papers, "class_accuracy", "method")
    seeds = {row["seed"] for row in members}
    lines.append(
      [
        method,
        *(
          percent(estimate(where(members, labels_per_class=labels), "class_accuracy"))
          for labels in budgets
        ),
        "" if method == charts.PAPERS else percent(gain, "+.1f"),
        len(seeds),
      ]
    )
  published = {(name, labels): last for name, labels, *_, last in paper["paper"]}
  for (method,) in methods:
    values = [published.get((method, labels)) for labels in budgets]
    if any(value is not None for value in values):
      cells = ["–" if value is None else value for value in values]
      lines.append([f"{method}, published", *cells, "", ""])
  header = ["labels per class", *budgets, f"{few}: − {charts.PAPERS}", "seeds"]
  return Table(header, lines)


def _claims(found: Findings) -> list[Part]:
  if not found.judged:
    return []
  shown: list[Part] = [
    _CLAIMS,
    "Each claim is tested as a difference between two accuracies, in percentage "
    "points, paired by seed. It holds if the whole 95 % interval of the difference "
    "lies in the claimed range, does not hold if no part of it does, and is "
    "inconclusive otherwise. *Adjusted* is the verdict after Holm's correction for the "
    "number of claims.",
  ]
  for verdict, number in claims.count(found.judged).items():
    members = [one for one in found.judged if one.verdict == verdict]
    if not number:
      continue
    title = f"{verdict.capitalize()}: {number}"
    table = claims.table(members).markdown()
    if verdict == claims.VERDICTS[0]:
      shown.append(f"**{title}**\n\n{table}")
    else:
      shown.append(Folded(title, [table]))
  return shown


def _confusions(
  results: Results, found: Findings, workdir: pathlib.Path, stem: str
) -> list[Part]:
  """Confusions and scores of each class with few labels."""
  names, rows = results.meaning["classes"], results.trained_on("label_budget")
  rows = [row for row in rows if row["class_confusion"]]
  if not rows or found.best is None:
    return []
  rows = where(rows, labels_per_class=found.best.labels)
  counts = {
    method: np.sum([row["class_confusion"] for row in members], axis=0)
    for (method,), members in group(rows, "method").items()
  }
  if found.best.method not in counts:
    return []
  drawn = []
  for method in dict.fromkeys((found.best.method, charts.PAPERS)):
    if method in counts:
      name = f"{stem}/confusion_{_WORD.sub('_', method)}.png"
      figure = confusions.figure(counts[method], names)
      files.write_figure(workdir / name, figure)
      drawn.append(Shown(f"Confusion matrix of {method}, in % of the class", name))
  best = counts[found.best.method]
  largest = [
    [names[true], names[taken], f"{100 * best[true, taken] / best[true].sum():.1f}"]
    for true, taken in confusions.largest(best)
  ]
  shown = [m for m in figures.methods_shown(rows, _MOST_METHODS) if m in counts]
  scores = {method: evaluation.class_scores(counts[method]) for method in shown}
  ours = scores.get(found.best.method, scores[shown[0]])
  header = ["class", "precision", "recall", *(f"F1: {method}" for method in shown)]
  lines = [
    [
      name,
      *map(_percent, (ours.precision[i], ours.recall[i])),
      *(_percent(scores[method].f1[i]) for method in shown),
    ]
    for i, name in enumerate(names)
  ]
  return [
    _CONFUSED,
    f"With {for_markdown(found.best.labels)} labels per class, summed over the test "
    "flows of all seeds. Classes that are often confused are neighbours. Only the "
    "largest errors are written as numbers.",
    *drawn,
    f"The largest errors of {for_markdown(found.best.method)}:\n\n"
    + markdown_table(["class", "predicted", "% of the class"], largest)
    if largest
    else "Every flow was classified correctly.",
    _table("Each class, in %", Table(header, lines)),
  ]


def _percent(fraction: float) -> str:
  return "–" if np.isnan(fraction) else f"{100 * fraction:.1f}"


def _drawn(
  name: str, rows: list[dict], results: Results, workdir: pathlib.Path, stem: str
) -> Shown:
  experiment, path = EXPERIMENTS[name], f"{stem}/{name}.png"
  files.write_figure(workdir / path, experiment.figure(rows, results.paper))
  return Shown(experiment.title, path)


def _table(title: str, table: Table) -> Part:
  """A table, folded if it is long."""
  text = table.markdown()
  return Folded(title, [text]) if len(table.rows) > _LONG else f"{title}:\n\n{text}"


def _statistics(dataset: str, workdir: pathlib.Path) -> list[Part]:
  """The output of `flow_statistics` for a dataset, its headings one level down."""
  for path in sorted(workdir.rglob("flow_statistics/table.md")):
    try:
      is_of = read_config(path.parent)["meaning"]["dataset"] == dataset
    except (InputError, KeyError, TypeError):
      is_of = False
    if is_of:
      _, *text = re.sub("^#", "##", path.read_text(), flags=re.MULTILINE).split("\n")
      drawn = [
        Shown(f"{name} by class", str(file.relative_to(workdir)))
        for name in ("duration", "bandwidth")
        if (file := path.parent / f"{name}.png").exists()
      ]
      tables = Folded("Packets, durations and bandwidths", ["\n".join(text)])
      return [Heading("Flows of each class"), *drawn, tables]
  return []


def _intervals(results: Results) -> str:
  meaning = results.meaning
  split = meaning.get("split_by")
  of_split = (
    f" All flows of one {for_markdown(split)} are on the same side of each split."
    if split
    else ""
  )
  return f"""\
- **Over seeds.** 97.8 ± 0.6 is a mean over seeds and half of its 95 % t-interval. Each
  seed draws test flows, labels and initial weights anew, from the same
  {meaning["num_flows"]:,} flows. So the interval describes the variation between random
  splits of these flows. It does not describe new traffic.
- **Over flows.** 94.0–99.3 is Wilson's 95 % confidence interval of an accuracy on a
  single test set of the size that one seed has. It assumes independent flows. Rows
  store counts, not which flows were wrong, and the test sets of seeds overlap. So test
  sets cannot be pooled, and differences have no such interval.
- **Not covered.** Flows of one capture or day resemble each other. Rows do not store
  the capture of a flow, so neither interval resamples captures, and neither tells how
  accuracy changes on another day.{of_split} For a saved model, `mtl-traffic evaluate`
  computes intervals by capture.
- **Multiple comparisons.** Each claim is tested alone at the 5 % level, so a few of
  many verdicts are due to chance. For the adjusted verdicts (Holm's method), the
  probability that any of them is wrong is at most 5 %. Tables are not adjusted."""


def _how_made(results: Results) -> list[Part]:
  meaning = results.meaning
  lines, rates = [], set()
  for name in results.experiments:
    for (method,), rows in group(results.trained_on(name), "method").items():
      budgets = sorted({row["labels_per_class"] for row in rows}, key=budget_order)
      rates |= {row["learning_rate"] for row in rows}
      minutes = sum(row["seconds"] for row in rows) / 60
      lines.append(
        [
          name,
          method,
          ", ".join(map(str, budgets)),
          len({row["seed"] for row in rows}),
          len(rows),
          f"{minutes:.1f}",
        ]
      )
  header = ["experiment", "method", "labels/class", "seeds", "runs", "minutes"]
  calls = [f"- {for_markdown(provenance.sentence(call))}" for call in results.calls]
  adam = ", ".join(f"{rate:g}" for rate in sorted(rates))
  return [
    f"Networks: {meaning['epochs']} epochs of Adam at {adam} in batches of "
    f"{meaning['batch_size']}. Versions: {for_markdown(', '.join(results.versions))}.",
    "\n".join(calls)
    if calls
    else "Date, command, commit and machine are unknown: an older version of "
    "mtl_traffic wrote these results.",
    Folded("What was run", [markdown_table(header, lines)]),
  ]
