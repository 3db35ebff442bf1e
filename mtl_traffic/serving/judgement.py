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


REASON_NAMES = {
  Reason.TOO_FEW: "too few packets",
  Reason.TOO_IMPROBABLE: "too improbable",
}


class Judgement(NamedTuple):
  """What counts of the answers for N flows.

  Attributes:
    labels: `[N]` int, the most probable class; −1 = unknown.
    reasons: `[N]` int8, a `Reason`.
  """

  labels: np.ndarray
  reasons: np.ndarray


def judge(
  probabilities: np.ndarray,
  *,
  threshold: float = 0.0,
  seen: np.ndarray | None = None,
  fewest: int = 0,
) -> Judgement:
  """Which of the answers for N flows count.

  Args:
    probabilities: `[N, C]`.
    threshold: a class that is less probable is unknown.
    seen: `[N]` int, the packets of each flow that the answer is based on.
    fewest: after fewer packets a flow is unknown, however probable its class.
  """
  labels = np.argmax(probabilities, axis=-1)
  is_sure = np.max(probabilities, axis=-1) >= threshold  # Which NaN never is.
  reasons = np.where(is_sure, Reason.ANSWERED, Reason.TOO_IMPROBABLE).astype(np.int8)
  if seen is not None:
    # First of the reasons, as nothing else is to be told of such a flow.
    reasons[seen < fewest] = Reason.TOO_FEW
  return Judgement(np.where(reasons == Reason.ANSWERED, labels, UNKNOWN), reasons)
