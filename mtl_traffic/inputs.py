"""Prepares the flows, draws and encoded inputs of runs from the settings."""

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from mtl_traffic import (
  draws,
  encoding,
  labelling,
  methods,
  notes,
  selection,
  splits,
)
from mtl_traffic.draws import Draw
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows
from mtl_traffic.methods.base import Method, Problem
from mtl_traffic.runs import Run
from mtl_traffic.settings import ALL, Settings
from mtl_traffic.tasks import MAIN_TASKS, TASKS

LARGEST_SEED = 2**31 - 1  # Seeds are int32 on the device.
# From here on the other tasks' gradients are lost in float32, and a larger λ is the
# same; beyond 1e19 the square of the gradient's norm would be infinite, and clipping
# would make every step with a labelled flow a step of 0.
LARGEST_LAMBDA = 1e9
_FLOWS_AT_ONCE = 1 << 14  # Bounds the memory that is needed besides the inputs.


class Inputs:
  """The flows of a dataset, and the draws and model inputs that runs get from them.

  Attributes:
    flows: the flows of all partitions that have at least min_packets packets. Flows of
      classes that are left out are of unknown class or of other_class.
    others: the indices of the flows of each further test set (test_partitions).
    table: the columns of the flows that draws read.
    notes: one line for each setting that the flows cannot satisfy.
  """

  def __init__(self, settings: Settings, flows: Flows, runs: Sequence[Run]):
    """Selects the flows and checks that they suffice for the runs.

    Args:
      settings: see `Settings`.
      flows: the flows of all partitions.
      runs: the runs to prepare for.

    Raises:
      InputError: the flows do not suffice; names the setting and what to do.
    """
    for run in runs:
      check_run(run, settings)
    self._settings = settings
    flows = _long_enough(flows, settings.min_packets)
    eligible, self.others = selection.partitions(
      flows, settings.train_partition, settings.test_partitions
    )
    self.flows, left_out = selection.with_classes(
      flows,
      eligible,
      classes=settings.classes,
      min_flows=settings.min_flows_per_class,
      other=settings.other_class,
    )
    if settings.split_by and flows.groups is None:
      raise InputError(
        f"split_by: the flows were loaded without groups; load them with "
        f"group_by={settings.split_by!r}"
      )
    tasks = dict.fromkeys(task for run in runs for task in run.tasks)
    self.table = draws.flow_table(
      self.flows,
      eligible,
      tuple(dict.fromkeys(MAIN_TASKS) | tasks),
      flows.groups if settings.split_by else None,
    )
    _check_labels(self.table)
    if not settings.split_by:
      splits.check_sizes(
        self.table.class_names,
        self.table.class_sizes,
        test_per_class=settings.test_per_class,
        validation_per_class=settings.validation_per_class,
        train_per_class=1,
      )
    self.notes = notes.of(
      self.table,
      settings,
      left_out,
      max((n for run in runs if (n := _number(run.labels_per_class, 0))), default=0),
    )
    for note in self.notes:
      logging.warning("%s", note)
    self._suggested: dict[int, np.ndarray] = {}  # By seed, most useful first.
    self._most_chosen = self.table.num_classes * max(
      (_number(run.labels_per_class, 0) for run in runs if run.labelling == "chosen"),
      default=0,
    )

  def problem(self, run: Run) -> tuple[Method, Problem]:
    """The method of a run, and the problem that runs of one program share."""
    method = make_method(run, self._settings)
    num_classes = dict.fromkeys((*self.table.values, "class"), self.table.num_classes)
    for task, dividers in run.dividers().items():
      num_classes[task] = len(dividers) + 1
    return method, Problem(
      flows=self.flows,
      inputs=self._read(method, run.k, run.k),
      num_classes=num_classes,
    )

  def shown(self, method: Method, run: Run) -> jax.Array:
    """The inputs of all flows at test time, `[N, ...]`, cut to the run's `packets`."""
    return self._read(method, run.k, run.packets)

  @functools.lru_cache(maxsize=2)  # noqa: B019 - a process has a single `Inputs`
  def _read(self, method: Method, k: int, num_packets: int) -> jax.Array:
    return read(method, self.flows, k, num_packets)

  def draw(self, runs: Sequence[Run]) -> Draw:
    """The draws of runs that share a program."""
    random = functools.partial(
      draws.draw_many,
      self.table,
      jnp.array([run.seed for run in runs]),
      jnp.array([_number(run.labels_per_class, draws.ALL_LABELS) for run in runs]),
      test_per_class=self._settings.test_per_class,
      validation_per_class=self._settings.validation_per_class,
      dividers={
        task: jnp.array([run.dividers()[task] for run in runs], jnp.float32)
        for task in runs[0].dividers()
      },
    )
    drawn = random()
    if runs[0].labelling == "random":
      return drawn
    chosen = map(self._choose, runs, draws.each_run(drawn))
    return random(chosen=jnp.array(list(chosen)))

  def _choose(self, run: Run, draw: Draw) -> np.ndarray:
    """`[N]` bool, the flows to label: as many as random labelling would label."""
    # Sorted, so that the order is the same for all budgets.
    train, number = np.sort(np.asarray(draw.train)), int(draw.num_labelled)
    train = train[self.flows.classes[train] >= 0]  # The others' class is not known.
    if run.labelling == "uniform" or number == len(train):
      first = np.random.default_rng(run.seed).permutation(len(train))[:number]
    else:
      first = self._suggestions(run.seed, train)[:number]
    chosen = np.zeros(len(self.flows), bool)
    chosen[train[first]] = True
    return chosen

  def _suggestions(self, seed: int, train: np.ndarray) -> np.ndarray:
    """The places in `train` of the flows of a seed to label, most useful first.

    Computed once for all methods and budgets: a longer list begins with the shorter.
    """
    if seed not in self._suggested:
      suggested = labelling.suggest(
        labelling.columns(self.flows[train]),
        self._most_chosen,
        np.zeros(len(train), bool),
        seed,
      )
      self._suggested[seed] = np.array([one.flow for one in suggested], int)
    return self._suggested[seed]


def make_method(run: Run, settings: Settings) -> Method:
  """The method of a run, built from the settings that it reads.

  Raises:
    InputError: the method does not exist, or a setting's value is invalid.
  """
  fields = {name: getattr(run, name) for name in vars(run)}
  return methods.make(run.method, vars(settings) | fields)


def hyperparameters(method: Method, runs: Sequence[Run]) -> dict[str, jax.Array]:
  """The values of each of the method's hyperparameters over R runs, `[R]`."""
  return {
    name: jnp.array([getattr(run, name) for run in runs], jnp.float32)
    for name in method.hyperparameters
  }


def read(
  method: Method, flows: Flows, k: int, num_packets: int | None = None
) -> jax.Array:
  """The model inputs of N flows, `[N, ...]`, on the device.

  Args:
    method: the method.
    flows: N flows.
    k: packets that the method reads, unless it reads whole flows.
    num_packets: how many of the k packets to keep; by default all.
  """
  if method.reads_whole_flows:
    k = num_packets = flows.packets.lengths.shape[1]
  first = encoding.first_packets(flows.packets, k, num_packets)
  inputs = jax.jit(method.inputs)
  parts = [
    inputs(jax.tree.map(lambda leaf, s=start: leaf[s : s + _FLOWS_AT_ONCE], first))
    for start in range(0, max(len(flows), 1), _FLOWS_AT_ONCE)
  ]
  return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def check_run(run: Run, settings: Settings) -> None:
  """Raises an InputError, naming the setting, if the run's values are invalid."""
  method = make_method(run, settings)
  if run.k < method.least_k:
    raise InputError(
      f"k = {run.k} packets are too few for {run.method}; it needs {method.least_k}"
    )
  if run.shortest_prefix is not None:
    if not method.learns_prefixes:
      raise InputError(f"shortest_prefix: {run.method} does not learn from prefixes")
    if not 1 <= run.shortest_prefix <= run.packets:
      raise InputError(
        f"shortest_prefix: {run.shortest_prefix} must be 1 to {run.packets}, the "
        "packets after which it is tested"
      )
  elif run.packets != run.k:
    raise InputError(
      f"packets: {run.packets} is not k = {run.k}; only a model that is trained on "
      "prefixes can be tested after fewer packets"
    )
  if not 0 <= run.lambda_ <= LARGEST_LAMBDA:
    raise InputError(f"lambda: {run.lambda_} must be 0 to {LARGEST_LAMBDA:g}")
  for name in ("learning_rate", "clip_norm"):
    if not 0 < getattr(run, name) < math.inf:
      raise InputError(f"{name}: {getattr(run, name)} must be above 0, and finite")
  if not 0 <= run.seed <= LARGEST_SEED:
    raise InputError(f"seed: {run.seed} must be 0 to {LARGEST_SEED}")
  for task in run.tasks:
    if task not in TASKS:
      raise InputError(f"tasks: {task!r} is unknown; there are {', '.join(TASKS)}")
  if len(set(run.tasks)) != len(run.tasks):
    raise InputError(f"tasks: {run.tasks} must name each once")
  for name in ("bandwidth_dividers", "duration_dividers"):
    dividers = getattr(run, name)
    numbers = all(isinstance(v, int | float) and math.isfinite(v) for v in dividers)
    if not numbers or any(a >= b for a, b in itertools.pairwise(dividers)):
      raise InputError(f"{name}: {dividers} must be finite, each above the last")


def _number(labels_per_class: int | str, if_all: int) -> int:
  return if_all if labels_per_class == ALL else labels_per_class


def _check_labels(table: draws.FlowTable) -> None:
  """Raises an InputError if the flows have fewer than two classes."""
  with_flows = sum(size > 0 for size in table.class_sizes)
  if with_flows < 2:
    raise InputError(
      f"the flows to split are of {with_flows} traffic classes, and two are needed; "
      "label more of them, or leave out fewer (min_packets, classes, "
      "min_flows_per_class, train_partition)"
    )


def _long_enough(flows: Flows, min_packets: int) -> Flows:
  kept = flows.num_packets >= min_packets
  if not kept.all():
    logging.info("left out %d flows of under %d packets", (~kept).sum(), min_packets)
  if not kept.any():
    raise InputError(f"min_packets: no flows are left; none has {min_packets} packets")
  return flows[kept]
