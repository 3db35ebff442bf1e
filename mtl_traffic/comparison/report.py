"""One page of everything that was run: tables, figures, and the paper's claims.

Reads the work directories of experiments in and below a directory, as `make paper` or
single binaries leave them, and writes `report.md` with its figures, and `report.html`,
a page that needs no other file.
"""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from absl import logging

from mtl_traffic import evaluation, files, pages
from mtl_traffic.comparison import claims, figures, row_schema
from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.comparison.experiment import INTRODUCTION, Experiment
from mtl_traffic.comparison.rows import budget_order, group, where
from mtl_traffic.comparison.workdir import read_config, read_rows
from mtl_traffic.errors import InputError
from mtl_traffic.escapes import for_markdown
from mtl_traffic.pages import Part, Shown
from mtl_traffic.runs import FIELDS, Run
from mtl_traffic.tables import markdown_table


@dataclasses.dataclass(frozen=True)
class Done:
  """What a work directory holds."""

  path: pathlib.Path
  config: dict
  rows: list[dict]

  @property
  def experiment(self) -> Experiment:
    return EXPERIMENTS[self.config["meaning"]["experiment"]]

  def comparable(self) -> str:
    """Directories of which this is the same can be compared row by row."""
    told_by_rows = {"experiment", *FIELDS}
    meaning = self.config["meaning"]
    return json.dumps({n: v for n, v in meaning.items() if n not in told_by_rows})


def write(workdir: str | os.PathLike) -> pathlib.Path:
  """Writes the report of everything below a directory; returns the page.

  Raises:
    InputError: there is nothing to report on, or the report cannot be written.
  """
  workdir = pathlib.Path(workdir)
  paths = sorted(config.parent for config in workdir.rglob("config.json"))
  done = [one for path in paths if (one := _read(path)) and one.rows]
  if not done:
    raise InputError(f"{workdir}: no results in it or below; run an experiment first")
  order = list(EXPERIMENTS)
  done.sort(key=lambda one: order.index(one.experiment.name))
  groups: dict[str, list[Done]] = {}
  for one in done:
    groups.setdefault(one.comparable(), []).append(one)
  page = workdir / "report.html"
  with files.lock(workdir / "report"):
    parts: list[Part] = ["# Report"]
    for number, group_ in enumerate(groups.values(), start=1):
      parts += _dataset(group_, workdir, str(number) if len(groups) > 1 else "")
    files.write_text(workdir / "report.md", pages.markdown(parts))
    files.write_text(page, pages.html(parts, workdir, "Report"))
  return page


def _read(path: pathlib.Path) -> Done | None:
  """What a directory holds; None if an experiment made none of it."""
  if not (path / "results.jsonl").exists():
    return None
  try:
    config = read_config(path)
    known = config["meaning"]["experiment"] in EXPERIMENTS
  except (InputError, KeyError, TypeError):
    known = False
  if not known:
    logging.warning("%s: no experiment's results; left out", path)
    return None
  rows = read_rows(path)
  for number, row in enumerate(rows, start=1):
    try:
      row_schema.check(row)
    except InputError as error:
      raise InputError(f"{path / 'results.jsonl'}, line {number}: {error}") from None
  return Done(path, config, rows)


def _dataset(done: Sequence[Done], workdir: pathlib.Path, number: str) -> list[Part]:
  """The part of the report on runs that can be compared."""
  meaning, paper = done[0].config["meaning"], done[0].config["paper"]
  pooled: dict[Run, dict] = {}
  for one in done:
    for row in _trained_on(one):
      # What several experiments ran counts as in the first of them.
      pooled.setdefault(Run.of(row), row)
  title = f"{meaning['dataset']}, trained on {meaning['train_partition']}"
  parts: list[Part] = [
    f"## {for_markdown(title)}",
    _what_was_run(done),
    "## What the paper claims",
    "A claim is a difference between accuracies, in points, over the runs that had the "
    "same split and labels. It holds if the whole 95 % interval of the difference lies "
    "in the claimed range, does not hold if none of it does, and is inconclusive "
    "otherwise.",
    _claims(list(pooled.values()), paper),
  ]
  for one in done:
    parts += [f"## {one.experiment.title}", INTRODUCTION]
    parts.append(one.experiment.table(one.rows, paper).markdown())
    if one.experiment.figure:
      name = f"report/{one.experiment.name}{number}.png"
      one.experiment.figure(one.rows, paper, workdir / name)
      parts.append(Shown(one.experiment.title, name))
    if one.experiment.name == "label_budget":
      parts += _each_class(one, workdir, number)
  statistics = sorted(workdir.rglob("flow_statistics/table.md"))
  if statistics and not number:
    parts += _statistics(statistics[0].parent, workdir)
  return parts


def _claims(rows: Sequence[dict], paper: dict) -> str:
  table = claims.table(rows, paper["paper_dataset"], paper["paper_dividers"])
  if not table.rows:
    return "No claim is about what was run."
  verdicts = [line[-1] for line in table.rows]
  holds, fails = (verdicts.count(verdict) for verdict in ("holds", "does not hold"))
  inconclusive = len(verdicts) - holds - fails
  return (
    f"Of {len(verdicts)} claims {holds} hold, {fails} do not, and {inconclusive} are "
    f"inconclusive.\n\n{table.markdown()}"
  )


def _what_was_run(done: Sequence[Done]) -> str:
  meaning = done[0].config["meaning"]
  rates = sorted({row["learning_rate"] for one in done for row in one.rows})
  rates = ", ".join(f"{rate:g}" for rate in rates)
  lines = []
  for one in done:
    for (method,), rows in group(_trained_on(one), "method").items():
      budgets = sorted({row["labels_per_class"] for row in rows}, key=budget_order)
      lines.append(
        [
          one.experiment.name,
          method,
          ", ".join(map(str, budgets)),
          len({row["seed"] for row in rows}),
          len(rows),
          f"{sum(row['seconds'] for row in rows) / 60:.1f}",
        ]
      )
  header = ["experiment", "method", "labels/class", "seeds", "runs", "minutes"]
  versions = {" ".join(item) for one in done for item in one.config["versions"].items()}
  return "\n\n".join(
    [
      f"{meaning['num_flows']:,} flows of {len(meaning['classes'])} classes; of each "
      f"class {_size(meaning['test_per_class'])} test and "
      f"{_size(meaning['validation_per_class'])} validation flows, drawn anew for each "
      f"seed. {meaning['epochs']} epochs of Adam at {rates} in batches of "
      f"{meaning['batch_size']}.",
      markdown_table(header, lines),
      f"With {for_markdown(', '.join(sorted(versions)))}.",
    ]
  )


def _size(per_class: int | float) -> str:
  return f"{100 * per_class:g} %" if 0 < per_class < 1 else f"{per_class:g}"


def _each_class(done: Done, workdir: pathlib.Path, number: str) -> list[Part]:
  """Confusions of each method, and its scores of each class."""
  names = done.config["meaning"]["classes"]
  rows = [row for row in _trained_on(done) if row["class_confusion"]]
  lines = []
  for (method,), members in group(rows, "method").items():
    budgets = group(members, "labels_per_class")
    for (labels,) in sorted(budgets, key=lambda key: budget_order(*key)):
      counts = np.sum([row["class_confusion"] for row in budgets[labels,]], axis=0)
      of_class = zip(*evaluation.class_scores(counts), strict=True)
      shown = [" / ".join(map(_percent, scores)) for scores in of_class]
      lines.append([method, labels, *shown])
  parts = [
    "### Each class",
    "Precision / recall / F1 in %, over the test flows of all seeds.",
    markdown_table(["method", "labels/class", *names], lines),
  ]
  for (method,), members in group(rows, "method").items():
    name = f"report/confusion_{_WORD.sub('_', method)}{number}.png"
    figures.confusion_figure(members, names, workdir / name)
    parts.append(Shown(f"Confusions of {method}", name))
  return parts


def _percent(fraction: float) -> str:
  return "–" if np.isnan(fraction) else f"{100 * fraction:.1f}"


def _statistics(path: pathlib.Path, workdir: pathlib.Path) -> list[Part]:
  """What `flow_statistics` wrote, its headings one level down."""
  text = re.sub("^#", "##", (path / "table.md").read_text(), flags=re.MULTILINE)
  shown = [
    Shown(f"{name} by class", str((path / f"{name}.png").relative_to(workdir)))
    for name in ("duration", "bandwidth")
    if (path / f"{name}.png").exists()
  ]
  return [text, *shown]


def _trained_on(done: Done) -> list[dict]:
  """The rows that were tested on flows of the partition that was trained on."""
  partition = done.config["meaning"]["train_partition"]
  return where(done.rows, partition=partition)


# What is read of each row, beside its run.
_WORD = re.compile(r"[^\w-]")
