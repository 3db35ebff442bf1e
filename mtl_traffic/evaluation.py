"""Accuracy, confusion, calibration, coverage, and intervals over seeds."""

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

import numpy as np
from scipy import special


class Estimate(NamedTuple):
  """A mean over seeds and the half-width of its 95 % t-interval; NaN if unknown."""

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

  Examples:
    >>> scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> accuracy(scores, np.array([0, 0, -1]))
    0.5
  """
  counted = targets >= 0
  if not counted.any():
    return None
  return float(np.mean(np.argmax(scores, axis=-1)[counted] == targets[counted]))


def confusion(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
  """The confusion matrix, `[classes, classes]` counts.

  Args:
    scores: `[Q, classes]`.
    targets: `[Q]` int; samples of −1 do not count.

  Returns:
    At `[i, j]` the number of samples of class i whose best-scored class is j.
  """
  counts = np.zeros((scores.shape[1],) * 2, int)
  counted = targets >= 0
  np.add.at(counts, (targets[counted], np.argmax(scores, axis=-1)[counted]), 1)
  return counts


class ClassScores(NamedTuple):
  """Scores per class, `[C]`; NaN where a score would divide by 0."""

  precision: np.ndarray
  recall: np.ndarray
  f1: np.ndarray


def class_scores(counts: np.ndarray) -> ClassScores:
  """Precision, recall and F1, their harmonic mean, of each class.

  Args:
    counts: `[C, A]`, at `[i, j]` the flows of class i that were predicted as j. The
      first C columns are the classes; further columns are other answers, as "unknown".
  """
  counts = np.asarray(counts)
  right, taken_for = np.diagonal(counts), counts.sum(axis=0)[: len(counts)]
  return scores_of_sums(right, taken_for, counts.sum(axis=1))


def scores_of_sums(
  right: np.ndarray, taken_for: np.ndarray, of_class: np.ndarray
) -> ClassScores:
  """`class_scores` from sums of a confusion matrix, each `[C]` flows.

  Args:
    right: flows of each class that were predicted correctly.
    taken_for: flows that were predicted as each class.
    of_class: flows of each class.
  """

  def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    nothing = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=nothing, where=np.asarray(whole) > 0)

  return ClassScores(
    ratio(right, taken_for),
    ratio(right, of_class),
    ratio(2 * np.asarray(right), np.add(taken_for, of_class)),
  )


def macro_f1(counts: np.ndarray) -> float | None:
  """The mean F1 of the classes, each with the same weight.

  Args:
    counts: `[C, A]` as for `class_scores`. A class does not count if it has no flows
      and was never predicted.

  Returns:
    The mean, a fraction; None if no class counts.
  """
  return mean_of_known(class_scores(counts).f1)


def weighted_f1(counts: np.ndarray) -> float | None:
  """The mean F1 of the classes, each weighted by its number of flows.

  Args:
    counts: `[C, A]` as for `class_scores`.

  Returns:
    The mean, a fraction; None if there are no flows.
  """
  of_class = np.sum(counts, axis=1)
  if not of_class.sum():
    return None
  return float(np.average(np.nan_to_num(class_scores(counts).f1), weights=of_class))


def balanced_accuracy(counts: np.ndarray) -> float | None:
  """The mean recall of the classes, each with the same weight.

  Args:
    counts: `[C, A]` as for `class_scores`. A class without flows does not count.

  Returns:
    The mean, a fraction; None if no class counts.
  """
  return mean_of_known(class_scores(counts).recall)


def mean_of_known(values: np.ndarray) -> float | None:
  """The mean of those values that are not NaN; None if all are."""
  known = ~np.isnan(values)
  return float(np.mean(values[known])) if known.any() else None


def vote(groups: np.ndarray, votes: np.ndarray, num_groups: int) -> np.ndarray:
  """Sums the votes of each group's flows and returns the class with the most.

  Args:
    groups: `[N]` int, the group of each flow.
    votes: `[N, C]`, each flow's votes, for example its class probabilities. A flow with
      zeros does not vote.
    num_groups: how many groups there are.

  Returns:
    `[num_groups]` int; in a tie the first of the classes; −1 where no flow votes.
  """
  totals = np.zeros((num_groups, votes.shape[1]))
  np.add.at(totals, groups, votes)
  return np.where(np.any(totals > 0, axis=1), np.argmax(totals, axis=1), -1)


class Reliability(NamedTuple):
  """Confidence and accuracy in B bins of confidence of equal width.

  Attributes:
    counts: `[B]` flows in each bin.
    confidences: `[B]` mean confidence; NaN in an empty bin.
    accuracies: `[B]` the fraction of correct answers; NaN in an empty bin.
  """

  counts: np.ndarray
  confidences: np.ndarray
  accuracies: np.ndarray

  @property
  def error(self) -> float | None:
    """The expected calibration error, a fraction; None without flows."""
    if not self.counts.sum():
      return None
    gaps = np.abs(np.nan_to_num(self.confidences - self.accuracies))
    return float(np.average(gaps, weights=self.counts))


def reliability(
  confidences: np.ndarray, is_right: np.ndarray, num_bins: int = 15
) -> Reliability:
  """Bins answers by confidence, and measures the accuracy in each bin.

  Args:
    confidences: `[N]`, 0 to 1.
    is_right: `[N]` bool.
    num_bins: bins of equal width.
  """
  confidences = np.asarray(confidences, np.float64)
  bins = np.clip(np.ceil(confidences * num_bins).astype(int) - 1, 0, num_bins - 1)
  counts = np.bincount(bins, minlength=num_bins)

  def mean(values: np.ndarray) -> np.ndarray:
    sums = np.bincount(bins, weights=values, minlength=num_bins)
    return np.divide(sums, counts, out=np.full(num_bins, np.nan), where=counts > 0)

  return Reliability(counts, mean(confidences), mean(is_right))


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
  is_right = np.argmax(probabilities, axis=-1) == targets
  return reliability(np.max(probabilities, axis=-1), is_right, num_bins).error


class Coverage(NamedTuple):
  """Coverage and accuracy of N answers, from the most to the least certain.

  Attributes:
    thresholds: `[N]` descending, the least certainty of an answer that is given.
    coverages: `[N]` the fraction of flows that are answered at this threshold.
    accuracies: `[N]` the fraction of those answers that are correct.
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


def coverage(certainties: np.ndarray, is_right: np.ndarray, num_flows: int) -> Coverage:
  """Accuracy against coverage for every threshold on the certainty.

  Args:
    certainties: `[N]`, how certain each answer is.
    is_right: `[N]` bool.
    num_flows: the number of flows, those without an answer included.
  """
  order = np.argsort(-certainties, kind="stable")
  answered = np.arange(1, len(order) + 1)
  return Coverage(
    thresholds=certainties[order],
    coverages=answered / max(num_flows, 1),
    accuracies=np.cumsum(is_right[order]) / answered,
  )


def bootstrap(
  statistics: Callable[[np.ndarray], np.ndarray],
  num_units: np.ndarray,
  *,
  seed: int = 0,
  num_samples: int = 1000,
  confidence: float = 0.95,
) -> np.ndarray:
  """Percentile bootstrap intervals: resamples units with replacement.

  Units must be independent of each other, for example captures with all their flows.
  Flows of one capture resemble each other, so resampling single flows would give
  intervals that are too narrow.

  B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics,
  1979.

  Args:
    statistics: maps `[G]` ints, how often units of each kind were drawn, to `[S]`
      values; NaN = undefined for this sample.
    num_units: `[G]` int, the number of units of each kind. Equal units may be given as
      one kind; otherwise all are 1.
    seed: random seed of the samples.
    num_samples: how many samples to draw.
    confidence: confidence level of the intervals, a fraction.

  Returns:
    `[S, 2]`, low and high; NaN if there are fewer than two units, or no values.
  """
  num_units = np.asarray(num_units)
  total = int(num_units.sum())
  if total < 2:
    return np.full((len(statistics(num_units)), 2), np.nan)
  random = np.random.default_rng(seed)
  drawn = (random.multinomial(total, num_units / total) for _ in range(num_samples))
  samples = np.stack([statistics(one) for one in drawn], axis=1)
  tails = [(1 - confidence) / 2, (1 + confidence) / 2]
  intervals = np.full((len(samples), 2), np.nan)
  for interval, values in zip(intervals, samples, strict=True):
    known = values[~np.isnan(values)]
    if len(known):
      interval[:] = np.quantile(known, tails)
  return intervals


class Detection(NamedTuple):
  """How well certainty separates flows of unknown classes from flows of known ones.

  Attributes:
    auroc: the probability that an unknown flow is less certain than a known one; 0.5
      is chance.
    kept: the fraction of known flows above the threshold.
  """

  auroc: float
  kept: float


def detection(
  known: np.ndarray, unknown: np.ndarray, caught: float = 0.95
) -> Detection:
  """How well certainty separates flows of unknown classes from flows of known ones.

  Args:
    known: `[N]`, certainties of the answers for flows of known classes.
    unknown: `[M]`, the same for flows of unknown classes.
    caught: sets the threshold: this fraction of the unknown flows lies below it.

  Returns:
    The detection; NaN if either kind has no flows.
  """
  if not len(known) or not len(unknown):
    return Detection(np.nan, np.nan)
  below = np.searchsorted(np.sort(unknown), known, side="left")
  equal = np.searchsorted(np.sort(unknown), known, side="right") - below
  kept = below >= caught * len(unknown)
  return Detection(
    float(np.mean(below + equal / 2) / len(unknown)), float(np.mean(kept))
  )


def mean_with_interval(values: np.ndarray, confidence: float = 0.95) -> Estimate:
  """Mean of `[S]` values, one per seed, with Student's t-interval around it.

  Examples:
    >>> mean, half_width, num_seeds = mean_with_interval(np.array([0.90, 0.92, 0.97]))
    >>> f"{mean:.3f} ± {half_width:.3f} ({num_seeds} seeds)"
    '0.930 ± 0.090 (3 seeds)'
  """
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
  """Mean difference from a reference on the same draws, with its interval.

  Args:
    values: a value per draw.
    reference: a value per draw; only draws in both count.
  """
  draws = [draw for draw in values if draw in reference]
  return mean_with_interval(np.array([values[d] - reference[d] for d in draws]))


def _counted(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  counted = targets >= 0
  return np.asarray(scores, np.float64)[counted], np.asarray(targets)[counted]
