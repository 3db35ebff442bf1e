"""True bandwidth and duration classes, measured when a flow has ended."""

import numpy as np

from mtl_traffic.flows import Flows

MEASURED_TASKS = ("bandwidth", "duration")
NO_TRUTH = -1


def measured(flows: Flows, task: str, dividers: tuple[float, ...]) -> np.ndarray:
  """`[N]` int, the bandwidth or duration class of whole flows.

  Computed with NumPy, in float32 as in `targets.divide`, because JAX would delay live
  packets.

  Args:
    flows: N flows.
    task: one of `MEASURED_TASKS`.
    dividers: the dividers of its classes, ascending, in bytes/s or s.

  Returns:
    The classes; −1 for a flow without a bandwidth.
  """
  values = durations = flows.durations.astype(np.float32)
  if task == "bandwidth":
    values = np.divide(
      flows.num_bytes.astype(np.float32),
      durations,
      out=np.full(len(durations), np.nan, np.float32),
      where=durations > 0,
    )
  classes = np.searchsorted(np.array(dividers, np.float32), values, side="right")
  return np.where(np.isnan(values), NO_TRUTH, classes)
