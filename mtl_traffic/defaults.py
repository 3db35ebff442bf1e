"""Settings that follow from the flows that are there: k, and the dividers."""

import numpy as np
from absl import logging

from mtl_traffic import selection
from mtl_traffic.flows import Flows
from mtl_traffic.settings import Settings
from mtl_traffic.tasks import MAIN_TASKS, TASKS, UNITS

MOST_PACKETS = 60  # The paper's k.
_FEWEST_PACKETS = 16  # What every method can read; padding costs little.
_REACH_K = 0.1  # Of the flows: to the others, later packets are padding.
_REACH_PREFIX, _LONGEST_PREFIX = 0.9, 5
_DIGITS = 2  # Of a divider, for names that can be read: "0.12 to 1.8 s".


def of_flows(settings: Settings, flows: Flows) -> Settings:
  """The settings, with those chosen that are left to the flows; says them in a line.

  They are chosen by the flows to split, before any is drawn, so they are the same for
  all seeds. Where nothing is left to the flows the settings stay as they are.

  Args:
    settings: see `Settings`; k or shortest_prefix of 0, and equal_classes where there
      are no dividers, are to be chosen.
    flows: all partitions.

  Raises:
    InputError: there is no such partition.
  """
  if settings.k and settings.shortest_prefix and not settings.equal_classes:
    return settings
  eligible, _ = selection.partitions(flows, settings.train_partition)
  eligible &= flows.num_packets >= settings.min_packets
  if not eligible.any():
    return settings  # Of which `Inputs` tells.
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
  """The packets to read: as many as 10 % of the flows have, from 16 to 60.

  Every class weighs alike, or many short flows of one would hide what another does.

  Args:
    num_packets: `[N]` packets of the whole flows.
    classes: `[N]` int; flows of −1 are a class too.
  """
  _, code, sizes = np.unique(classes, return_inverse=True, return_counts=True)
  weights = 1 / sizes[code.reshape(-1)]
  order = np.argsort(-num_packets, kind="stable")
  reached = np.cumsum(weights[order]) / weights.sum()
  # The first at which enough flows are as long; rounding must not move it.
  longest = num_packets[order][np.argmax(reached >= _REACH_K - 1e-9)]
  return int(np.clip(longest, _FEWEST_PACKETS, MOST_PACKETS))


def shortest_prefix_of(num_packets: np.ndarray) -> int:
  """The packets from which on to answer: what 90 % of the flows have, 1 to 5."""
  reached = np.quantile(num_packets, 1 - _REACH_PREFIX, method="lower")
  return int(np.clip(reached, 1, _LONGEST_PREFIX))


def equal_dividers(values: np.ndarray, num_classes: int) -> tuple[float, ...]:
  """Dividers, of two digits, between classes of about as many values each.

  Args:
    values: `[N]`; those that are not above 0 do not count, and fall in the first class.
    num_classes: how many classes; fewer where many values are the same.

  Returns:
    Ascending; a single 1 where no value is above 0.
  """
  values = values[values > 0]
  if not len(values):
    return (1.0,)
  quantiles = np.quantile(values, np.arange(1, num_classes) / num_classes)
  return tuple(sorted({float(f"{value:.{_DIGITS}g}") for value in quantiles}))
