"""Measures how well a model detects traffic of classes that it never saw.

One class at a time is left out of training, with all its flows. The model then predicts
the test flows of the other classes and all flows of the class left out. A score
separates the two if it is lower for the class left out; this needs no threshold.
"""

import operator
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from mtl_traffic import evaluation
from mtl_traffic.comparison.workdir import WorkDir
from mtl_traffic.errors import InputError
from mtl_traffic.evaluation import Detection, mean_with_interval
from mtl_traffic.flows import Flows
from mtl_traffic.inputs import Inputs
from mtl_traffic.runs import Run
from mtl_traffic.serving import trainer
from mtl_traffic.serving.judgement import certainty
from mtl_traffic.serving.predictor import Answers, Predictor
from mtl_traffic.settings import Settings
from mtl_traffic.tables import Table, percent

SCORES = {
  "probability": "maximal probability",
  "entropy": "entropy",
  "certainty": "certainty (entropy and familiarity)",
}


INTRODUCTION = (
  "In %, mean over seeds ± half of its 95 % t-interval. AUROC: the probability that a "
  "flow of the class left out scores lower than a flow of a known class. Kept: the "
  "share of known flows above a threshold, which is set so that 95 % of the flows left "
  "out are below it."
)
# Settings that only say how much to run, or that each row states itself.
_EXTENT = ("methods", "labels_per_class", "num_seeds", "first_seed")


def conduct(
  settings: Settings,
  dataset: str,
  flows: Flows,
  runs: Sequence[Run],
  path: str | os.PathLike,
) -> str:
  """Runs all runs that have no row in the work directory yet, then writes the table.

  Args:
    settings: see `Settings`.
    dataset: the name of the dataset.
    flows: the flows of all partitions.
    runs: the runs; each is trained once for every class left out.
    path: the work directory.

  Returns:
    The table, as Markdown with a line of introduction.

  Raises:
    InputError: naming the setting at fault and what to do.
  """
  names = classes_to_leave_out(flows)
  meaning = dict(vars(settings))
  extent = {name: meaning.pop(name) for name in _EXTENT}
  meaning |= {"experiment": "unknown_traffic", "dataset": dataset}
  meaning |= {"num_flows": len(flows), "classes": names}
  workdir = WorkDir(path, meaning, extent)
  rows = workdir.rows()
  done = {(Run.of(row), row["left_out"]) for row in rows}
  # Ordered by seed, for all methods.
  wanted = [
    (run, name)
    for run in sorted(runs, key=operator.attrgetter("seed"))
    for name in names
  ]
  left = [pair for pair in wanted if pair not in done]
  for run, name in tqdm(left, unit=" models", mininterval=1):
    found = detections(settings, flows, run, name)
    row = {"dataset": dataset, **run.identity(), "left_out": name, **found}
    workdir.append([row])
  rows = [row for row in workdir.rows() if (Run.of(row), row["left_out"]) in wanted]
  shown = table(rows)
  text = f"{INTRODUCTION}\n\n{shown.markdown()}"
  workdir.write_text("table.md", text)
  workdir.write_text("table.csv", shown.csv())
  workdir.close()
  return text


def classes_to_leave_out(flows: Flows) -> list[str]:
  """The classes that have flows.

  Raises:
    InputError: there are fewer than three classes.
  """
  counts = np.bincount(
    flows.classes[flows.classes >= 0], minlength=len(flows.class_names)
  )
  names = [name for name, n in zip(flows.class_names, counts, strict=True) if n]
  if len(names) < 3:
    raise InputError(
      f"the flows are of {len(names)} traffic classes; three are needed, because one "
      "is left out and a model learns from two or more"
    )
  return names


def detections(
  settings: Settings, flows: Flows, run: Run, left_out: str
) -> dict[str, Detection]:
  """How well each of `SCORES` detects a class that training never saw.

  Args:
    settings: see `Settings`.
    flows: the flows of all partitions.
    run: the run to train.
    left_out: the class to leave out.

  Raises:
    InputError: naming the setting at fault and what to do.
  """
  is_left_out = flows.classes == flows.class_names.index(left_out)
  known = settings.classes or flows.class_names
  settings = settings.replace(classes=tuple(name for name in known if name != left_out))
  inputs = Inputs(settings, flows[~is_left_out], [run])
  trained = trainer.train(settings, inputs, run)
  predictor = Predictor(trained.description, trained.parameters)
  # Of the same minimum length as the training and test flows.
  unknown = flows[is_left_out & (flows.num_packets >= settings.min_packets)]
  known = inputs.flows[np.asarray(trained.draw.test)]
  of_known, of_unknown = _scores(predictor(known)), _scores(predictor(unknown))
  return {
    name: evaluation.detection(of_known[name], of_unknown[name]) for name in SCORES
  }


def table(rows: Iterable[dict]) -> Table:
  """AUROC and known flows kept, in %, by class left out: means over seeds.

  Args:
    rows: have "method", "labels_per_class", "left_out", "seed", and for each of
      `SCORES` the two fields of a `Detection`.
  """
  rows = list(rows)
  header = ["method", "labels/class", "left out", "seeds"]
  header += [f"AUROC: {title}" for title in SCORES.values()]
  header += [f"kept: {title}" for title in SCORES.values()]
  return Table(header, list(_lines(rows)))


def _lines(rows: list[dict]) -> Iterator[list]:
  models = dict.fromkeys((row["method"], row["labels_per_class"]) for row in rows)
  for model in models:
    of_model = [r for r in rows if (r["method"], r["labels_per_class"]) == model]
    names = list(dict.fromkeys(row["left_out"] for row in of_model))
    for name in names:
      of_class = [row for row in of_model if row["left_out"] == name]
      yield [*model, name, *_means([[row] for row in of_class])]
    by_seed: dict[int, list[dict]] = {}
    for row in of_model:
      by_seed.setdefault(row["seed"], []).append(row)
    # Only seeds for which every class was left out.
    whole = [of_seed for of_seed in by_seed.values() if len(of_seed) == len(names)]
    yield [*model, "mean", *_means(whole)]


def _means(units: list[list[dict]]) -> list:
  """Means over units, one unit per seed, after taking the mean over a unit's rows."""
  cells: list = [len(units)]
  for field in range(len(Detection._fields)):
    for name in SCORES:
      values = [np.mean([row[name][field] for row in rows]) for rows in units]
      cells.append(percent(mean_with_interval(np.array(values))))
  return cells


def _scores(answers: Answers) -> dict[str, np.ndarray]:
  probabilities = answers.probabilities["class"]
  return {
    "probability": np.max(probabilities, axis=-1),
    "entropy": certainty(probabilities),
    "certainty": answers.certainties("class"),
  }
