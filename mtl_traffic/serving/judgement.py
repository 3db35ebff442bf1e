"""Whether an answer counts: where it does not, the flow is unknown, for a reason."""

import enum
from typing import NamedTuple

import numpy as np

UNKNOWN = -1  # The label of a flow of which too little is known.
UNKNOWN_NAME = "unknown"


class Reason(enum.IntEnum):
  """Why a flow is unknown; 0 is one that is not."""

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
  """What counts of the answers for N flows.

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

  One over the number of classes that a model wavers between (the exponential of the
  entropy of its probabilities), times the familiarity of the flow. It is at most the
  probability of the most probable class. Traffic of a class that training never saw is
  told by it better than by that probability: see `unknown_traffic`.

  Args:
    probabilities: `[N, C]`.
    familiarity: `[N]`, how far the flows are like the training flows.
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
  """Which of the answers for N flows count.

  Args:
    probabilities: `[N, C]`.
    familiarity: `[N]`, how far the flows are like the training flows.
    threshold: an answer of less `certainty` is unknown.
    seen: `[N]` int, the packets of each flow that the answer is based on.
    fewest: after fewer packets a flow is unknown, however certain its class.
  """
  labels = np.argmax(probabilities, axis=-1)
  reasons = np.full(len(labels), Reason.ANSWERED, np.int8)
  # NaN is at no threshold.
  is_sure = certainty(probabilities, familiarity) >= threshold
  reasons[~is_sure] = Reason.TOO_STRANGE
  # First of the two, as a strange flow would be unknown for it too.
  reasons[~(certainty(probabilities) >= threshold)] = Reason.TOO_IMPROBABLE
  if seen is not None:
    # First of all, as nothing else is to be told of such a flow.
    reasons[seen < fewest] = Reason.TOO_FEW
  return Judgement(np.where(reasons == Reason.ANSWERED, labels, UNKNOWN), reasons)
