"""Reports a trained model's accuracy and the calibration of its probabilities."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from mtl_traffic import draws, evaluation, files, tables
from mtl_traffic.inputs import Inputs
from mtl_traffic.serving import figures, parts
from mtl_traffic.serving.predictor import Predictor
from mtl_traffic.serving.trainer import Trained

_MEASURES = ("accuracy", "balanced_accuracy", "macro_f1", "ece_raw", "ece")
THRESHOLDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
_REFITTED = (
  "These figures are of a model trained on the training flows only. The saved model "
  "was then trained on the validation and test flows as well.\n\n"
)


def write(
  inputs: Inputs,
  trained: Sequence[Trained],
  workdir: pathlib.Path,
  *,
  refitted: bool = False,
) -> str:
  """Measures accuracy and calibration on flows that were not used in training.

  Writes the report to `report.md`, and accuracy against coverage to `calibration.png`.

  Args:
    inputs: the flows.
    trained: a model for each draw.
    workdir: where to write.
    refitted: whether the saved model was trained again on all flows.

  Returns:
    The report as text.
  """
  rows = [_quality(inputs, one) for one in trained]
  header = ["tested on", "task", "flows", "accuracy", "balanced", "macro F1"]
  header += ["ECE, T = 1", "ECE", "T"]
  quality, coverages, curves = [], [], {}
  for row in rows[0]:
    part, task, curve = row["part"], row["task"], row["curve"]
    curves[part, task] = curve
    measured = [_percent(row[name]) for name in _MEASURES]
    quality.append([part, task, row["flows"], *measured, f"{row['temperature']:.2f}"])
    coverages.append(
      [part, task]
      + ["{} of {}".format(*map(_percent, curve.at(t)[::-1])) for t in THRESHOLDS]
    )
  text = (
    f"{parts.describe(inputs, trained[0].draw)}\n{_REFITTED if refitted else ''}"
    "Accuracy and expected calibration error (ECE) in %, without and with the "
    "temperature T fitted on validation flows. Balanced accuracy is the mean recall of "
    "the classes, macro F1 the mean of their F1; all classes weigh the same.\n\n"
    f"{tables.markdown_table(header, quality)}\n"
    "Accuracy of the answers with at least the certainty in the header, and the "
    "share of flows that have one, in %.\n\n"
    + tables.markdown_table(["tested on", "task", *THRESHOLDS], coverages)
  )
  if len(trained) > 1:
    text += (
      f"\nThe same over {len(trained)} draws of split and labels, the first of which "
      "is shown above: mean ± half of the 95 % t-interval.\n\n" + _over_draws(rows)
    )
  files.write_text(workdir / "report.md", text)
  figures.coverage_figure(curves, workdir / "calibration.png")
  return text


def _quality(inputs: Inputs, trained: Trained) -> list[dict]:
  """Measures a model on each part of the flows and each task.

  Returns:
    A row per part and task with `part`, `task`, the number of `flows` with a target,
    and their `accuracy`, `balanced_accuracy` and `macro_f1`. `ece_raw` and `ece` are
    the expected calibration errors without and with the `temperature`. All are
    fractions, None without flows. `curve` is accuracy against coverage.
  """
  flows, (description, parameters, draw) = inputs.flows, trained
  calibrated = Predictor(description, parameters)
  raw = Predictor(
    dataclasses.replace(
      description, temperatures=dict.fromkeys(description.temperatures, 1.0)
    ),
    parameters,
  )
  rows = []
  for part, members in {"test": np.asarray(draw.test), **inputs.others}.items():
    answers, uncalibrated = calibrated(flows[members]), raw(flows[members])
    for task in calibrated.tasks:
      known = draws.truth(flows, draw, task)[members]
      probabilities = answers.probabilities[task]
      counts = evaluation.confusion(probabilities, known)
      before, after = (
        evaluation.expected_calibration_error(answer.probabilities[task], known)
        for answer in (uncalibrated, answers)
      )
      rows.append(
        {
          "part": part,
          "task": task,
          "flows": int((known >= 0).sum()),
          "accuracy": evaluation.accuracy(probabilities, known),
          "balanced_accuracy": evaluation.balanced_accuracy(counts),
          "macro_f1": evaluation.macro_f1(counts),
          "ece_raw": before,
          "ece": after,
          "temperature": description.temperatures[task],
          "curve": evaluation.coverage(
            answers.certainties(task)[known >= 0],
            (np.argmax(probabilities, axis=-1) == known)[known >= 0],
            int((known >= 0).sum()),
          ),
        }
      )
  return rows


def _over_draws(drawn: Sequence[Sequence[Mapping]]) -> str:
  """A table of `_quality` over draws: means with intervals."""
  fields = (*_MEASURES, "temperature")
  lines = []
  for part in dict.fromkeys(row["part"] for row in drawn[0]):
    tasks = [row["task"] for row in drawn[0] if row["part"] == part]
    values = np.array(
      [
        [[row[field] for field in fields] for row in rows if row["part"] == part]
        for rows in drawn
      ],
      np.float64,  # None becomes NaN.
    )
    values = np.concatenate([values, values.mean(axis=1, keepdims=True)], axis=1)
    for i, task in enumerate((*tasks, "mean")):
      accuracy, balanced, f1, before, after, temperatures = values[:, i].T
      shown = [
        tables.percent(evaluation.mean_with_interval(measured), form)
        for measured, form in (
          (accuracy, ".1f"),
          (balanced, ".1f"),
          (f1, ".1f"),
          (before, ".1f"),
          (after, ".1f"),
          (after - before, "+.1f"),
        )
      ]
      lines.append([part, task, *shown, f"{np.mean(temperatures):.2f}"])
  header = ["tested on", "task", "accuracy", "balanced", "macro F1"]
  header += ["ECE, T = 1", "ECE", "difference", "T"]
  return tables.markdown_table(header, lines)


def _percent(fraction: float | None) -> str:
  return "–" if fraction is None or np.isnan(fraction) else f"{100 * fraction:.1f}"
