"""Compares a saved model's accuracy with scikit-learn's random forest.

    python -m benchmarks.forest --train=train.parquet --test=test.parquet --workdir=DIR

Our model is the one that `mtl-traffic train --config=own_captures` saves. The other is
a `RandomForestClassifier` with scikit-learn's defaults, on the statistics of
`random_forest_online` of as many first packets. Both are trained on the same labelled
flows with several seeds, and tested on flows of other captures, `--test`. The flows of
a capture vote by the same rule (`assessment.votes`).

Intervals are from a bootstrap over the test captures; differences are paired. The
report also gives the accuracy that lengths alone allow: many flows have a twin of
another class, with the same lengths in the same directions. Writes `forest.md` and
`forest.json` to the work directory.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags
from sklearn.ensemble import RandomForestClassifier
from tqdm import tqdm

from mtl_traffic import data, defaults, encoding, evaluation, tables
from mtl_traffic.commands import cli
from mtl_traffic.configs import own_captures
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows
from mtl_traffic.inputs import Inputs, read
from mtl_traffic.methods.random_forest import RandomForestOnline
from mtl_traffic.runs import label_budgets
from mtl_traffic.serving import assessment, observations, trainer
from mtl_traffic.serving.observations import Answered, Observations
from mtl_traffic.serving.predictor import Predictor
from mtl_traffic.settings import ALL, Settings

_MANY = 10  # The fewest packets of a flow of "many packets".
_MEASURES = {
  "accuracy": "accuracy of flows",
  "macro_f1": "macro F1",
  "accuracy_of_many_packets": f"accuracy of flows of {_MANY} packets or more",
  "capture_accuracy": "accuracy of captures, by vote of their flows",
}
_READS = RandomForestOnline()  # Gives the inputs of scikit-learn's forest.
_SIDES = ("ours", "scikit_learn", "difference")


def define_flags() -> None:
  cli.define_required("train", "a Parquet file of labelled flows")
  cli.define_required("test", "a Parquet file of flows of other captures")
  cli.define_required("workdir", "where to write the results")
  flags.DEFINE_string("method", "whole_flow_distillation", "The method of our model.")
  flags.DEFINE_integer(
    "num_seeds", 5, "Trainings of each model; figures are means.", lower_bound=1
  )


def main() -> None:
  args = flags.FLAGS
  result = compare(
    _flows("train"), _flows("test"), method=args.method, num_seeds=args.num_seeds
  )
  workdir = pathlib.Path(args.workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  text = _text(result)
  (workdir / "forest.json").write_text(json.dumps(result, indent=2) + "\n")
  (workdir / "forest.md").write_text(text)
  print(f"{text}\nThis is in {workdir}/")


def _flows(flag: str) -> Flows:
  with cli.naming(f"--{flag}"):
    flows = data.load(flags.FLAGS[flag].value, Settings().max_packets)
  if not (flows.classes >= 0).any():
    raise InputError(f"--{flag}: no flow has a label")
  return flows


def compare(train: Flows, test: Flows, *, method: str, num_seeds: int) -> dict:
  """Trains and tests both models; returns figures that are ready for JSON.

  Args:
    train: flows; both models are trained on those with a label.
    test: flows; both models are tested on those with a label.
    method: the method of our model.
    num_seeds: how often both are trained.
  """
  settings = Settings.of(own_captures.get_config()).replace(
    methods=(method,), labels_per_class=(ALL,), num_seeds=num_seeds
  )
  settings = defaults.of_flows(settings, train)
  runs = label_budgets(settings)
  trainer.check(runs[0], settings)
  inputs = Inputs(settings, train, runs)
  counts = {"ours": [], "scikit_learn": []}
  for run in tqdm(runs, unit=" seeds"):
    kept = trainer.train(settings, inputs, run)
    if trainer.can_refit(run, settings):
      kept = trainer.refit(inputs, run, kept)
    predictor = Predictor(kept.description, kept.parameters)
    observed = observations.observe(predictor, test)
    learnt = inputs.flows[kept.draw.labelled()[0]]
    forest = _forest(learnt, observed, test[test.classes >= 0], run.seed)
    units = _units(observed)
    counts["ours"].append(_counts(observed, observed.tasks["class"], units))
    counts["scikit_learn"].append(_counts(observed, forest, units))
  twins, best = by_lengths(test[test.classes >= 0], settings.k)
  return {
    "method": method,
    "k": settings.k,
    "num_seeds": num_seeds,
    "num_train": len(learnt),
    "num_test": len(observed),
    "resampled": "captures" if (observed.captures != "").all() else "flows",
    "num_resampled": int(units.max()) + 1,
    **_measured(counts["ours"], counts["scikit_learn"]),
    "twins_of_other_classes": twins,
    "best_by_lengths": best,
  }


def _forest(learnt: Flows, observed: Observations, asked: Flows, seed: int) -> Answered:
  """The answers of scikit-learn's forest for the observed flows."""

  def columns(flows: Flows) -> np.ndarray:
    return np.asarray(read(_READS, flows, observed.k))

  forest = RandomForestClassifier(random_state=seed)
  forest.fit(columns(learnt), learnt.classes)
  probabilities = np.zeros((len(observed), observed.num_known))
  probabilities[:, forest.classes_] = forest.predict_proba(columns(asked))
  of_class = observed.tasks["class"]
  return dataclasses.replace(
    of_class, probabilities=probabilities, reasons=np.zeros_like(of_class.reasons)
  )


def _units(observed: Observations) -> np.ndarray:
  """`[N]` int, the units to resample: captures, or flows if some have no capture."""
  if not (observed.captures != "").all():
    return np.arange(len(observed))
  return np.unique(observed.captures.astype(str), return_inverse=True)[1]


def _counts(
  observed: Observations, answered: Answered, units: np.ndarray
) -> np.ndarray:
  """Counts in each unit, `[3 C + 4, U]`, from which the figures are computed.

  For each class: its flows, the flows predicted as it, and the correct ones. Then flows
  of many packets and the correct ones, and captures and the correct ones.
  """
  num_classes, num_units = len(observed.class_names), int(units.max()) + 1
  counts = np.zeros((3 * num_classes + 4, num_units))
  truth, labels, right = answered.truth, answered.labels, answered.is_right
  taken = labels >= 0
  np.add.at(counts, (truth, units), 1)
  np.add.at(counts, (num_classes + labels[taken], units[taken]), 1)
  np.add.at(counts, (2 * num_classes + truth[right], units[right]), 1)
  many = observed.seen >= min(_MANY, observed.k)
  np.add.at(counts[-4], units[many], 1)
  np.add.at(counts[-3], units[many & right], 1)
  # Both models learnt from the same flows.
  votes = assessment.votes(
    answered, observed.captures, observed.seen, observed.class_counts
  )
  of_capture = np.zeros(len(votes.names), int)
  there = votes.members >= 0
  of_capture[votes.members[there]] = units[there]
  np.add.at(counts[-2], of_capture[votes.counted], 1)
  np.add.at(counts[-1], of_capture[votes.counted & votes.is_right], 1)
  return counts


def figures(counts: np.ndarray) -> np.ndarray:
  """Computes the `_MEASURES` from counts `[3 C + 4]`; NaN where undefined."""
  of_class, taken_for, right = np.split(counts[:-4], 3)
  many, right_many, captures, right_captures = counts[-4:]
  f1 = evaluation.scores_of_sums(right, taken_for, of_class).f1
  wholes = np.array([of_class.sum(), many, captures])
  parts = np.array([right.sum(), right_many, right_captures])
  accuracy, of_many, by_vote = np.divide(
    parts, wholes, out=np.full(3, np.nan), where=wholes > 0
  )
  return np.array([accuracy, np.nanmean(f1), of_many, by_vote])


def _measured(ours: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> dict:
  """Each measure of both models, and the difference, with intervals."""

  def of_drawn(drawn: np.ndarray) -> np.ndarray:
    sides = [
      np.mean([figures(counts @ drawn) for counts in side], axis=0)
      for side in (ours, others)
    ]
    return np.concatenate([*sides, sides[0] - sides[1]])

  once = np.ones(ours[0].shape[1], int)
  shape = len(_SIDES), len(_MEASURES)
  values = of_drawn(once).reshape(shape)
  intervals = evaluation.bootstrap(of_drawn, once).reshape(*shape, 2)
  measured = {name: {} for name in _MEASURES}
  for i, side in enumerate(_SIDES):
    for j, of_measure in enumerate(measured.values()):
      has_interval = not np.isnan(intervals[i, j]).any()
      of_measure[side] = None if np.isnan(values[i, j]) else float(values[i, j])
      of_measure[f"{side}_interval"] = (
        intervals[i, j].tolist() if has_interval else None
      )
  return measured


def by_lengths(flows: Flows, k: int) -> tuple[float, float]:
  """How well lengths and directions of first packets can separate the classes.

  Args:
    flows: N flows; those without a class are left out.
    k: how many packets are compared.

  Returns:
    The fraction of flows that have a twin in another class, and the accuracy if each
    flow is predicted as the most frequent class of its twins. No real model can know
    that class beforehand.
  """
  first = encoding.first_packets(flows.packets, k)
  signed = np.asarray(first.lengths * first.directions)
  _, kinds = np.unique(signed, axis=0, return_inverse=True)
  kinds = kinds.reshape(-1)
  counts = np.zeros((kinds.max() + 1, len(flows.class_names)), int)
  np.add.at(counts, (kinds, flows.classes), 1)
  of_several = (counts > 0).sum(axis=1) > 1
  num_twins, num_best = counts[of_several].sum(), counts.max(axis=1).sum()
  return float(num_twins / len(flows)), float(num_best / len(flows))


def _text(result: dict) -> str:
  rows = [
    [meaning, *(_shown(result[name], side) for side in _SIDES)]
    for name, meaning in _MEASURES.items()
  ]
  header = ["%", result["method"], "scikit-learn's random forest", "difference"]
  return (
    f"Trained on {result['num_train']:,} labelled flows, k = {result['k']}, with "
    f"{result['num_seeds']} seeds; tested on {result['num_test']:,} flows. In "
    f"brackets: 95 % bootstrap intervals over {result['num_resampled']:,} "
    f"{result['resampled']}.\n\n"
    f"{tables.markdown_table(header, rows)}\n"
    f"{result['twins_of_other_classes']:.1%} of the flows have a twin of another "
    "class, with the same lengths in the same directions. Predicting the most frequent "
    f"class of all twins would give {result['best_by_lengths']:.1%} accuracy.\n"
  )


def _shown(of_measure: dict, side: str) -> str:
  value, interval = of_measure[side], of_measure[f"{side}_interval"]
  if value is None:
    return "–"
  form = "+.1f" if side == "difference" else ".1f"
  between = (
    ""
    if interval is None
    else " ({} to {})".format(*(f"{100 * end:{form}}" for end in interval))
  )
  return f"{100 * value:{form}}{between}"


if __name__ == "__main__":
  cli.run(main, define_flags, name="python -m benchmarks.forest", about=__doc__)
