"""How well a model tells traffic of a class that it never saw.

One class at a time is left out of training, with all its flows. Then the model is asked
about the test flows of the other classes and about all flows of that class. A score
that is lower for the latter tells them apart, whatever the threshold.
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
  "In %, mean over seeds ± half of its 95 % t-interval. AUROC: how often a flow of the "
  "class left out scores lower than one of a known class. Kept: the known flows above "
  "the score that 95 % of the left out ones are below."
)
# Settings that say how much to run, or that a row tells.
_EXTENT = ("methods", "labels_per_class", "num_seeds", "first_seed")


def conduct(
  settings: Settings,
  dataset: str,
  flows: Flows,
  runs: Sequence[Run],
  path: str | os.PathLike,
) -> str:
  """Runs what has no row yet in the work directory, then writes the table.

  Args:
    settings: see `Settings`.
    dataset: its name.
    flows: all partitions.
    runs: what to train, with each class left out.
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
  # The first seeds of all methods first.
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
    InputError: with one left out, there would not be two to learn.
  """
  counts = np.bincount(
    flows.classes[flows.classes >= 0], minlength=len(flows.class_names)
  )
  names = [name for name, n in zip(flows.class_names, counts, strict=True) if n]
  if len(names) < 3:
    raise InputError(
      f"the flows are of {len(names)} traffic classes; with one left out, two must be "
      "left to learn, so three are needed"
    )
  return names


def detections(
  settings: Settings, flows: Flows, run: Run, left_out: str
) -> dict[str, Detection]:
  """How well each of `SCORES` tells a class that training never saw.

  Args:
    settings: see `Settings`.
    flows: all partitions.
    run: what to train.
    left_out: the class.

  Raises:
    InputError: naming the setting at fault and what to do.
  """
  is_left_out = flows.classes == flows.class_names.index(left_out)
  known = settings.classes or flows.class_names
  settings = settings.replace(classes=tuple(name for name in known if name != left_out))
  inputs = Inputs(settings, flows[~is_left_out], [run])
  trained = trainer.train(settings, inputs, run)
  predictor = Predictor(trained.description, trained.parameters)
  # As long as those that were trained on, and as those that test.
  unknown = flows[is_left_out & (flows.num_packets >= settings.min_packets)]
  known = inputs.flows[np.asarray(trained.draw.test)]
  of_known, of_unknown = _scores(predictor(known)), _scores(predictor(unknown))
  return {
    name: evaluation.detection(of_known[name], of_unknown[name]) for name in SCORES
  }


def table(rows: Iterable[dict]) -> Table:
  """AUROC and known flows kept, in %, by class left out: means over seeds.

  Args:
    rows: with "method", "labels_per_class", "left_out", "seed", and for each of
      `SCORES` a pair, the fields of `Detection`.
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
    # Of seeds that left out each of them.
    whole = [of_seed for of_seed in by_seed.values() if len(of_seed) == len(names)]
    yield [*model, "mean", *_means(whole)]


def _means(units: list[list[dict]]) -> list:
  """Over units, one a seed, of the mean over the rows of each."""
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
