"""Chooses k, the shortest prefix and the dividers from the flows, if not set."""

import numpy as np
from absl import logging

from mtl_traffic import selection
from mtl_traffic.flows import Flows
from mtl_traffic.settings import Settings
from mtl_traffic.tasks import MAIN_TASKS, TASKS, UNITS

MOST_PACKETS = 60  # The paper's k.
_FEWEST_PACKETS = 16  # What every method can read; padding costs little.
_REACH_K = 0.1  # Share of flows with at least k packets; the others are padded.
_REACH_PREFIX, _LONGEST_PREFIX = 0.9, 5
_DIGITS = 2  # Dividers are rounded, so that class names are short: "0.12 to 1.8 s".


def of_flows(settings: Settings, flows: Flows) -> Settings:
  """Returns the settings with k, shortest_prefix and dividers filled in; logs them.

  The values are chosen from all flows to split, before any draw, so they are the same
  for all seeds. If nothing is to be chosen, the settings are returned unchanged.

  Args:
    settings: see `Settings`. A k or shortest_prefix of 0 is chosen here. Dividers are
      chosen if equal_classes is set and no dividers are given.
    flows: the flows of all partitions.

  Raises:
    InputError: a partition that the settings name does not exist.
  """
  if settings.k and settings.shortest_prefix and not settings.equal_classes:
    return settings
  eligible, _ = selection.partitions(flows, settings.train_partition)
  eligible &= flows.num_packets >= settings.min_packets
  if not eligible.any():
    return settings  # `Inputs` reports the error.
  flows, chosen = flows[eligible], {}
  if not settings.k:
    chosen["k"] = k_of(flows.num_packets, flows.classes)
  if not settings.shortest_prefix:
    k = chosen.get("k", settings.k)
    chosen["shortest_prefix"] = min(k, shortest_prefix_of(flows.num_packets))
  for task in MAIN_TASKS if settings.equal_classes else ():
    if not getattr(settings, f"{task}_dividers"):
      values = TASKS[task](flows)
      dividers = equal_dividers(values, settings.equal_classes)
      chosen[f"{task}_dividers"] = dividers
  units = {f"{task}_dividers": f" {UNITS[task]}" for task in MAIN_TASKS}
  shown = [f"{name} = {value}{units.get(name, '')}" for name, value in chosen.items()]
  if shown:
    logging.info("chosen by the lengths of the flows: %s", ", ".join(shown))
  return settings.replace(**chosen)


def k_of(num_packets: np.ndarray, classes: np.ndarray) -> int:
  """Returns the packet count that 10 % of the flows reach, between 16 and 60.

  All classes have equal weight. Otherwise the many short flows of one class would
  outweigh the long flows of another.

  Args:
    num_packets: `[N]` packets of the whole flows.
    classes: `[N]` int; flows of unknown class (−1) count as one more class.
  """
  _, code, sizes = np.unique(classes, return_inverse=True, return_counts=True)
  weights = 1 / sizes[code.reshape(-1)]
  order = np.argsort(-num_packets, kind="stable")
  reached = np.cumsum(weights[order]) / weights.sum()
  # The smallest quantile that enough flows reach; float rounding must not change it.
  longest = num_packets[order][np.argmax(reached >= _REACH_K - 1e-9)]
  return int(np.clip(longest, _FEWEST_PACKETS, MOST_PACKETS))


def shortest_prefix_of(num_packets: np.ndarray) -> int:
  """Returns the packet count that 90 % of the flows reach, between 1 and 5."""
  reached = np.quantile(num_packets, 1 - _REACH_PREFIX, method="lower")
  return int(np.clip(reached, 1, _LONGEST_PREFIX))


def equal_dividers(values: np.ndarray, num_classes: int) -> tuple[float, ...]:
  """Dividers that give each class about the same number of values.

  Args:
    values: `[N]`. Values of 0 or less are ignored; they fall into the first class.
    num_classes: how many classes. There are fewer if many values are equal.

  Returns:
    The dividers, ascending, rounded to two digits; (1,) if no value is above 0.
  """
  values = values[values > 0]
  if not len(values):
    return (1.0,)
  quantiles = np.quantile(values, np.arange(1, num_classes) / num_classes)
  return tuple(sorted({float(f"{value:.{_DIGITS}g}") for value in quantiles}))
