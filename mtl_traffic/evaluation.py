"""Accuracies, and what can be said of them over seeds."""

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
