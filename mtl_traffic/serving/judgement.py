"""Decides whether an answer counts. If not, the flow is unknown, with a reason."""

import enum
from typing import NamedTuple

import numpy as np

UNKNOWN = -1  # The label of a flow whose answer does not count.
UNKNOWN_NAME = "unknown"


class Reason(enum.IntEnum):
  """Why a flow is unknown; 0 = it is not."""

  ANSWERED = 0
  TOO_FEW = enum.auto()
  TOO_IMPROBABLE = enum.auto()
  TOO_STRANGE = enum.auto()


REASON_NAMES = {
  Reason.TOO_FEW: "too few packets",
  Reason.TOO_IMPROBABLE: "too improbable",
  Reason.TOO_STRANGE: "unlike the training flows",
}


class Judgement(NamedTuple):
  """The labels of N flows after unreliable answers were replaced by unknown.

  Attributes:
    labels: `[N]` int, the most probable class; −1 = unknown.
    reasons: `[N]` int8, a `Reason`.
  """

  labels: np.ndarray
  reasons: np.ndarray


def certainty(
  probabilities: np.ndarray, familiarity: np.ndarray | float = 1.0
) -> np.ndarray:
  """How certain the answers for N flows are, `[N]`, 0 to 1.

  Certainty is the flow's familiarity divided by the effective number of classes, which
  is the exponential of the entropy of the probabilities. It is at most the probability
  of the most probable class. It detects traffic of classes that training never saw
  better than that probability does, see `unknown_traffic`.

  Args:
    probabilities: `[N, C]`.
    familiarity: `[N]`, how similar the flows are to the training flows, 0 to 1.
  """
  logarithms = np.log(np.where(probabilities > 0, probabilities, 1))
  return np.exp(np.sum(probabilities * logarithms, axis=-1)) * familiarity


def judge(
  probabilities: np.ndarray,
  familiarity: np.ndarray | float = 1.0,
  *,
  threshold: float = 0.0,
  seen: np.ndarray | None = None,
  fewest: int = 0,
) -> Judgement:
  """Decides which of the answers for N flows count.

  Args:
    probabilities: `[N, C]`.
    familiarity: `[N]`, how similar the flows are to the training flows, 0 to 1.
    threshold: a flow whose `certainty` is lower is unknown.
    seen: `[N]` int, the packets of each flow that the answer is based on.
    fewest: a flow with fewer packets is unknown, however certain its class.
  """
  labels = np.argmax(probabilities, axis=-1)
  reasons = np.full(len(labels), Reason.ANSWERED, np.int8)
  # NaN is below every threshold.
  is_sure = certainty(probabilities, familiarity) >= threshold
  reasons[~is_sure] = Reason.TOO_STRANGE
  # This reason applies if the certainty is too low even without the familiarity.
  reasons[~(certainty(probabilities) >= threshold)] = Reason.TOO_IMPROBABLE
  if seen is not None:
    # Takes precedence: nothing else can be said of such a flow.
    reasons[seen < fewest] = Reason.TOO_FEW
  return Judgement(np.where(reasons == Reason.ANSWERED, labels, UNKNOWN), reasons)
