"""Verdicts on claims, p-values, and confidence intervals of shares of flows."""

from collections.abc import Sequence

import numpy as np
from scipy import special

from mtl_traffic.evaluation import Estimate

_CONFIDENCE = 0.95  # Confidence level of all intervals.
_NORMAL = special.ndtri((1 + _CONFIDENCE) / 2)


def verdict(value: Estimate, low: float, high: float) -> str:
  """Judges the claim that a quantity lies between two values.

  Args:
    value: the measured quantity.
    low: the lower limit of the claim.
    high: the upper limit of the claim.

  Returns:
    "holds" if the whole confidence interval lies between the limits, "does not hold" if
    no part of it does, "inconclusive" if a part does or if there is no interval.
  """
  if value.mean - value.half_width > low and value.mean + value.half_width < high:
    return "holds"
  if value.mean + value.half_width <= low or value.mean - value.half_width >= high:
    return "does not hold"
  return "inconclusive"


def p_value(value: Estimate, low: float, high: float) -> float:
  """The p-value of `verdict`, two-sided: if it is below 5 %, the verdict is conclusive.

  It is 1 minus the confidence level of the t-interval that ends at the nearer limit.

  Args:
    value: the measured quantity.
    low: the lower limit of the claim.
    high: the upper limit of the claim.

  Returns:
    The p-value, 0 to 1; 1 if there is no interval.
  """
  margin = min(abs(value.mean - low), abs(value.mean - high))
  if value.num_seeds < 2 or np.isnan(margin):
    return 1.0
  if value.half_width == 0:
    return 0.0
  freedom = value.num_seeds - 1
  deviation = value.half_width / special.stdtrit(freedom, (1 + _CONFIDENCE) / 2)
  return float(2 * special.stdtr(freedom, -margin / deviation))


def holm(p_values: Sequence[float]) -> list[float]:
  """Adjusts p-values for multiple comparisons by Holm's method.

  If all claims with an adjusted p-value below 5 % are decided, the probability that any
  of these decisions is wrong is at most 5 % (the family-wise error rate).

  S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
  Journal of Statistics, 1979.

  Args:
    p_values: the p-values of all tests, in any order; the result has the same order.

  Examples:
    >>> [round(p, 2) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
  """
  p_values = np.asarray(p_values, float)
  order = np.argsort(p_values, kind="stable")
  left = len(p_values) - np.arange(len(p_values))
  adjusted = np.empty(len(p_values))
  adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * left), 1)
  return adjusted.tolist()


def wilson(share: float, number: int) -> tuple[float, float]:
  """The 95 % confidence interval of a share, measured on independent flows.

  E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
  Journal of the American Statistical Association, 1927.

  Args:
    share: the fraction of the flows.
    number: the number of flows.

  Returns:
    The lower and the upper limit; NaN without flows.

  Examples:
    >>> low, high = wilson(0.9, 10)
    >>> f"{low:.2f} {high:.2f}"
    '0.60 0.98'
  """
  if not number:
    return np.nan, np.nan
  shrunk = number + _NORMAL**2
  center = (share * number + _NORMAL**2 / 2) / shrunk
  spread = share * (1 - share) * number + _NORMAL**2 / 4
  half_width = _NORMAL / shrunk * np.sqrt(spread)
  return float(center - half_width), float(center + half_width)
