"""What a measured difference decides, and how sure a share of flows is."""

from collections.abc import Sequence

import numpy as np
from scipy import special

from mtl_traffic.evaluation import Estimate

_CONFIDENCE = 0.95  # Of estimates' intervals.
_NORMAL = special.ndtri((1 + _CONFIDENCE) / 2)


def verdict(value: Estimate, low: float, high: float) -> str:
  """Whether a claim that a quantity lies between two values can be upheld.

  Args:
    value: the quantity, measured.
    low: the least that the claim allows.
    high: the most.

  Returns:
    "holds" if the whole interval lies between them, "does not hold" if none of it does,
    "inconclusive" if part of it does or if there is no interval.
  """
  if value.mean - value.half_width > low and value.mean + value.half_width < high:
    return "holds"
  if value.mean + value.half_width <= low or value.mean - value.half_width >= high:
    return "does not hold"
  return "inconclusive"


def p_value(value: Estimate, low: float, high: float) -> float:
  """How surely a claim is decided, either way: below 5 %, `verdict` decides it.

  It is 1 minus the confidence of the t-interval that just touches the nearest limit.

  Args:
    value: the quantity, measured.
    low: the least that the claim allows.
    high: the most.

  Returns:
    0 to 1; 1 if there is no interval.
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
  """p-values adjusted for how many there are.

  The chance that any of those below 5 % is there by chance alone is at most 5 %.

  S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
  Journal of Statistics, 1979.

  Args:
    p_values: of all that is tested, in any order, which is kept.

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
  """The 95 % interval of a share of so many flows that are independent of each other.

  E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
  Journal of the American Statistical Association, 1927.

  Args:
    share: a fraction of the flows.
    number: of flows; NaN, NaN without any.

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
