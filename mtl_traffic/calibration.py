"""How far probabilities can be trusted, and temperature scaling, which corrects them.

C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks",
ICML 2017.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

_LARGEST_LOG_TEMPERATURE = 4.0
# Of log T, before any flow is seen. 150 flows leave log T uncertain by 0.1 to 0.2, and
# without this made probabilities worse as often as better.
_PRIOR_DEVIATION = 0.1
_LEAST_DOUBT = 1e-12  # Or being wrong once would count without bounds.


def fit_temperature(scores: np.ndarray, targets: np.ndarray) -> float:
  """The T for which the confidences of `softmax(scores / T)` are best.

  A confidence, the probability of the most probable class, says how often that class is
  right. T is the most probable one, given which flows it was right for, and before that
  a normal distribution of log T around 0. So few flows move T little away from 1.

  The likelihood of the targets themselves would let a few flows that are far off make
  all others less sure than they are right.

  Args:
    scores: `[N, C]` logits or log probabilities of validation flows.
    targets: `[N]` int; flows of −1 do not count.

  Returns:
    T; 1 if no flow counts.
  """
  scores, targets = _counted(scores, targets)
  if not len(targets):
    return 1.0

  is_right = np.argmax(scores, axis=-1) == targets

  def loss(log_temperature: float) -> float:
    scaled = special.log_softmax(scores / np.exp(log_temperature), axis=-1)
    log_confidence = np.minimum(np.max(scaled, axis=-1), -_LEAST_DOUBT)
    log_doubt = np.log(-np.expm1(log_confidence))
    prior = (log_temperature / _PRIOR_DEVIATION) ** 2 / 2
    return prior - float(np.sum(np.where(is_right, log_confidence, log_doubt)))

  bounds = (-_LARGEST_LOG_TEMPERATURE, _LARGEST_LOG_TEMPERATURE)
  return float(np.exp(optimize.minimize_scalar(loss, bounds=bounds).x))


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


def _counted(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  counted = targets >= 0
  return np.asarray(scores, np.float64)[counted], np.asarray(targets)[counted]
