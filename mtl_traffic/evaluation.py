"""Accuracies, confusions, calibration, and what can be said of them over seeds."""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

import numpy as np
from scipy import special


class Estimate(NamedTuple):
  """A mean over seeds and the half-width of its 95 % interval; NaN if unknown."""

  mean: float
  half_width: float
  num_seeds: int


def accuracy(scores: np.ndarray, targets: np.ndarray) -> float | None:
  """Fraction of samples whose best-scored class is the target.

  Args:
    scores: `[Q, classes]`.
    targets: `[Q]` int; samples of −1 do not count.

  Returns:
    The fraction, or None if no sample counts.
  """
  counted = targets >= 0
  if not counted.any():
    return None
  return float(np.mean(np.argmax(scores, axis=-1)[counted] == targets[counted]))


def confusion(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
  """How often a class was taken for which, `[classes, classes]` counts.

  Args:
    scores: `[Q, classes]`.
    targets: `[Q]` int; samples of −1 do not count.

  Returns:
    At `[i, j]` the samples of class i whose best-scored class is j.
  """
  counts = np.zeros((scores.shape[1],) * 2, int)
  counted = targets >= 0
  np.add.at(counts, (targets[counted], np.argmax(scores, axis=-1)[counted]), 1)
  return counts


class ClassScores(NamedTuple):
  """Of each class; NaN where nothing was of the class, or taken for it."""

  precision: np.ndarray
  recall: np.ndarray
  f1: np.ndarray


def class_scores(counts: np.ndarray) -> ClassScores:
  """Precision, recall and their harmonic mean of each class, from a confusion."""
  right = np.diagonal(counts).astype(float)
  taken_for, of_class = counts.sum(axis=0), counts.sum(axis=1)

  def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)

  return ClassScores(
    ratio(right, taken_for),
    ratio(right, of_class),
    ratio(2 * right, taken_for + of_class),
  )


def expected_calibration_error(
  probabilities: np.ndarray, targets: np.ndarray, num_bins: int = 15
) -> float | None:
  """Mean distance between confidence and accuracy over bins of confidence.

  Args:
    probabilities: `[N, C]`.
    targets: `[N]` int; flows of −1 do not count.
    num_bins: bins of equal width.

  Returns:
    The error, a fraction; None if no flow counts.
  """
  probabilities, targets = _counted(probabilities, targets)
  if not len(targets):
    return None
  confidences = np.max(probabilities, axis=-1)
  is_right = np.argmax(probabilities, axis=-1) == targets
  bins = np.clip(np.ceil(confidences * num_bins).astype(int) - 1, 0, num_bins - 1)
  surplus = np.bincount(bins, weights=confidences - is_right)
  return float(np.sum(np.abs(surplus)) / len(targets))


class Coverage(NamedTuple):
  """What becomes of N flows as ever less confident answers are given.

  Attributes:
    thresholds: `[N]` descending: the confidence from which on answers are given.
    coverages: `[N]` the fraction of flows that are answered then.
    accuracies: `[N]` the fraction of those answers that are right.
  """

  thresholds: np.ndarray
  coverages: np.ndarray
  accuracies: np.ndarray

  def at(self, threshold: float) -> tuple[float, float]:
    """Coverage and accuracy at a threshold; accuracy is NaN if nothing is answered."""
    answered = np.searchsorted(-self.thresholds, -threshold, side="right")
    if not answered:
      return 0.0, np.nan
    return float(self.coverages[answered - 1]), float(self.accuracies[answered - 1])


def coverage(probabilities: np.ndarray, targets: np.ndarray) -> Coverage:
  """Accuracy against coverage.

  Args:
    probabilities: `[N, C]`.
    targets: `[N]` int; flows of −1 do not count.
  """
  probabilities, targets = _counted(probabilities, targets)
  confidences = np.max(probabilities, axis=-1)
  is_right = np.argmax(probabilities, axis=-1) == targets
  order = np.argsort(-confidences, kind="stable")
  answered = np.arange(1, len(targets) + 1)
  return Coverage(
    thresholds=confidences[order],
    coverages=answered / max(len(targets), 1),
    accuracies=np.cumsum(is_right[order]) / answered,
  )


def mean_with_interval(values: np.ndarray, confidence: float = 0.95) -> Estimate:
  """Mean of `[S]` values, one a seed, with Student's t-interval around it."""
  values = np.asarray(values, np.float64)
  num_seeds = len(values)
  mean = float(np.mean(values)) if num_seeds else np.nan
  if num_seeds < 2:
    return Estimate(mean, np.nan, num_seeds)
  quantile = special.stdtrit(num_seeds - 1, (1 + confidence) / 2)  # Student's t
  half_width = quantile * np.std(values, ddof=1) / np.sqrt(num_seeds)
  return Estimate(mean, float(half_width), num_seeds)


def paired_difference(
  values: Mapping[Hashable, float], reference: Mapping[Hashable, float]
) -> Estimate:
  """Mean difference to a reference on the same draws, with its interval.

  Args:
    values: by draw.
    reference: by draw; draws that are not in both do not count.
  """
  draws = [draw for draw in values if draw in reference]
  return mean_with_interval(np.array([values[d] - reference[d] for d in draws]))


def verdict(value: Estimate, low: float, high: float) -> str:
  """Whether a claim that a quantity lies between two values can be upheld.

  Args:
    value: the quantity, measured.
    low: the least that the claim allows.
    high: the most.

  Returns:
    "holds" if the whole interval lies there, "does not hold" if none of it does, "not
    decided" if some does or if there is no interval.
  """
  if value.mean - value.half_width > low and value.mean + value.half_width < high:
    return "holds"
  if value.mean + value.half_width <= low or value.mean - value.half_width >= high:
    return "does not hold"
  return "not decided"


def _counted(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  counted = targets >= 0
  return np.asarray(scores, np.float64)[counted], np.asarray(targets)[counted]
