"""What a run is: all that sets it apart from the other runs of a sweep."""

import dataclasses
import itertools
import math

import ml_collections

from mtl_traffic import models
from mtl_traffic.errors import InputError
from mtl_traffic.methods import ABLATIONS, METHODS
from mtl_traffic.study import MASKS
from mtl_traffic.tasks import MAIN_TASKS, TASKS

ALL = "all"  # As labels_per_class: every training flow.


@dataclasses.dataclass(frozen=True)
class Run:
  """One training run of a method: what sets it apart from the others of a sweep."""

  method: str
  labels_per_class: int | str
  seed: int
  k: int
  lambda_: float
  tasks: tuple[str, ...] = MAIN_TASKS
  bandwidth_dividers: tuple[float, ...] = ()
  duration_dividers: tuple[float, ...] = ()
  signed_lengths: bool = True
  mask: str = "loss"

  @classmethod
  def of(cls, row: dict) -> "Run":
    """The run that a row belongs to; an InputError if it does not say."""
    try:
      fields = {name: row[_IN_A_ROW.get(name, name)] for name in FIELDS}
    except KeyError as error:
      raise InputError(
        f"a row of the work directory lacks the field {error}; give another --workdir"
      ) from None
    return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()})

  def identity(self) -> dict:
    """The part of a row that says which run it belongs to."""
    return {_IN_A_ROW.get(name, name): getattr(self, name) for name in FIELDS}

  def program(self) -> tuple:
    """Runs of which this is the same can be one program."""
    num_dividers = (len(self.bandwidth_dividers), len(self.duration_dividers))
    inputs = self.k, self.signed_lengths
    return self.method, inputs, self.tasks, num_dividers, self.mask


FIELDS = tuple(field.name for field in dataclasses.fields(Run))
_IN_A_ROW = {"lambda_": "lambda"}


def label_budgets(config: ml_collections.ConfigDict, **settings) -> list[Run]:
  """The runs of all methods, seeds and label budgets, the first seeds first.

  Args:
    config: the configuration.
    **settings: fields of `Run` that are not the configuration's.

  Raises:
    InputError: a setting of the configuration cannot be.
  """
  check(config)
  defaults = {
    "k": config.k,
    "lambda_": config.lambda_,
    "tasks": tuple(config.tasks),
    "bandwidth_dividers": tuple(config.bandwidth_dividers),
    "duration_dividers": tuple(config.duration_dividers),
    "signed_lengths": config.signed_lengths,
    "mask": config.mask,
  }
  seeds = range(config.first_seed, config.first_seed + config.num_seeds)
  return [
    Run(method, labels, seed, **{**defaults, **settings})
    for method in config.methods
    for seed in seeds
    for labels in config.labels_per_class
  ]


def check(config: ml_collections.ConfigDict) -> None:
  """Raises an InputError if a setting cannot be, naming it."""
  for method in config.methods:
    if method not in METHODS | ABLATIONS:
      raise InputError(
        f"config.methods: {method!r} is unknown; there are {', '.join(METHODS)}"
      )
  for labels in config.labels_per_class:
    if labels != ALL and not (isinstance(labels, int) and labels > 0):
      raise InputError(
        f"config.labels_per_class: {labels!r} must be a number above 0 or {ALL!r}"
      )
  for name in ("methods", "labels_per_class"):
    if len(set(config[name])) != len(config[name]) or not config[name]:
      raise InputError(f"config.{name}: {config[name]} must name some, each once")
  for name in ("num_seeds", "test_per_class", "epochs", "batch_size"):
    if config[name] < 1:
      raise InputError(f"config.{name}: {config[name]} must be at least 1")
  for name in ("first_seed", "validation_per_class", "min_packets", "runs_at_once"):
    if config[name] < 0:
      raise InputError(f"config.{name}: {config[name]} must be at least 0")
  for name in ("learning_rate", "clip_norm"):
    if not 0 < config[name] < math.inf:
      raise InputError(f"config.{name}: {config[name]} must be above 0")
  if config.dtype not in ("float32", "bfloat16"):
    raise InputError(f"config.dtype: {config.dtype!r} must be float32 or bfloat16")
  if len(config.iat_range) != 2:
    raise InputError(f"config.iat_range: {config.iat_range} must be two numbers")


def check_run(run: Run) -> None:
  """Raises an InputError if there can be no such run, naming the setting."""
  models.convolutions_per_block(run.k)
  if not 0 <= run.lambda_ < math.inf:
    raise InputError(f"lambda: {run.lambda_} must be at least 0")
  for task in run.tasks:
    if task not in TASKS:
      raise InputError(f"tasks: {task!r} is unknown; there are {', '.join(TASKS)}")
  if run.mask not in MASKS:
    raise InputError(f"mask: {run.mask!r} is unknown; there are {', '.join(MASKS)}")
  if len(set(run.tasks)) != len(run.tasks):
    raise InputError(f"tasks: {run.tasks} must name each once")
  for name in ("bandwidth_dividers", "duration_dividers"):
    dividers = getattr(run, name)
    numbers = all(isinstance(v, int | float) and math.isfinite(v) for v in dividers)
    if not numbers or any(a >= b for a, b in itertools.pairwise(dividers)):
      raise InputError(f"{name}: {dividers} must be finite, each above the last")
