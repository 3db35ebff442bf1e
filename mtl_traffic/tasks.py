"""Auxiliary tasks: properties of whole flows that can be measured without labels.

Section VI of the paper: an auxiliary task should be related to the traffic class, and
its value should be easy to obtain. `TASKS` is the registry: add a function of `Flows`
to it, and `config.tasks` can name it.
"""

from collections.abc import Callable

import numpy as np

from mtl_traffic.flows import Flows

MAIN_TASKS = ("bandwidth", "duration")  # The two that the paper learns.
BURST_GAP_S = 0.1  # A packet that comes later than this starts a new burst.


def bandwidth(flows: Flows) -> np.ndarray:
  """Bytes/s, `[N]`; NaN for a flow of 0 s (a single packet, say)."""
  from mtl_traffic import (
    targets,  # Imported here: it needs JAX, which the names of tasks do not.
  )

  return np.asarray(targets.bandwidths(flows.num_bytes, flows.durations))


def duration(flows: Flows) -> np.ndarray:
  """Seconds, `[N]`."""
  return flows.durations.astype(np.float64)


def mean_length(flows: Flows) -> np.ndarray:
  """Bytes a packet, over the whole flow, `[N]`."""
  return _ratio(flows.num_bytes, flows.num_packets)


def mean_inter_arrival_time(flows: Flows) -> np.ndarray:
  """Seconds between packets, over the whole flow, `[N]`; NaN for a single packet."""
  return _ratio(flows.durations, flows.num_packets - 1)


def inter_arrival_time_deviation(flows: Flows) -> np.ndarray:
  """Standard deviation over the stored packets, s, `[N]`; NaN for a single packet."""
  gaps, there = _gaps(flows)
  count = there.sum(axis=1)
  mean = _ratio(np.sum(gaps, axis=1, where=there), count)
  squares = np.sum((gaps - mean[:, None]) ** 2, axis=1, where=there)
  return np.sqrt(_ratio(squares, count))


def bursts(flows: Flows) -> np.ndarray:
  """The number of bursts of the stored packets, `[N]`."""
  gaps, there = _gaps(flows)
  return 1.0 + np.sum((gaps > BURST_GAP_S) & there, axis=1)


TASKS: dict[str, Callable[[Flows], np.ndarray]] = {
  "bandwidth": bandwidth,
  "duration": duration,
  "mean_length": mean_length,
  "mean_inter_arrival_time": mean_inter_arrival_time,
  "inter_arrival_time_deviation": inter_arrival_time_deviation,
  "bursts": bursts,
}

# The unit of each task's dividers; tasks that are not listed have no unit.
UNITS = {
  "bandwidth": "bytes/s",
  "duration": "s",
  "mean_length": "bytes",
  "mean_inter_arrival_time": "s",
  "inter_arrival_time_deviation": "s",
}


def _gaps(flows: Flows) -> tuple[np.ndarray, np.ndarray]:
  return np.diff(flows.packets.times, axis=1), flows.packets.there[:, 1:]


def _ratio(value: np.ndarray, by: np.ndarray) -> np.ndarray:
  return np.divide(
    value, by, out=np.full(len(value), np.nan, np.float64), where=np.asarray(by) > 0
  )
