"""The settings of an experiment or a training, checked.

A config file gives them as a `ConfigDict`, for flags to change; `Settings.of` turns
that into values that nobody can change any more.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping

from mtl_traffic.errors import InputError

ALL = "all"  # As labels_per_class every training flow, as train_partition every flow.
_LARGEST_SEED = 2**31 - 1

PAPER = ("paper", "paper_dividers", "paper_dataset")  # What the paper reports.


def _setting(default: object, meaning: str):
  return dataclasses.field(default=default, metadata={"meaning": meaning})


@dataclasses.dataclass(frozen=True)
class Settings:
  """Every setting, with its default and a line on what it means.

  The defaults are those of section V of the paper and its authors' code: k = 60
  packets, λ = 1, 20 epochs of Adam at 1e-3 in batches of 64, gradients clipped to norm
  1, 30 test and 30 validation flows a class.
  """

  dataset: str = _setting("simulated", "dataset by name, or a Parquet file of flows")
  train_partition: str = _setting(
    ALL,
    "partition that is split into training, validation and test flows; each other one "
    "is a test set. 'all' splits all flows together",
  )
  max_packets: int = _setting(
    256,
    "packets of each flow that are read, or k if that is more; methods that look at "
    "whole flows see these",
  )
  payload_lengths: bool = _setting(
    False,
    "whether the dataset's lengths are those of TCP and UDP payload rather than of IP "
    "packets; a model remembers it",
  )
  min_packets: int = _setting(1, "flows of fewer packets are left out")
  methods: tuple[str, ...] = _setting(("multitask", "single_task"), "what is compared")
  labels_per_class: tuple = _setting((10, 20, 50, 100), "numbers, or 'all'")
  num_seeds: int = _setting(
    20, "seeds; each draws its own split, labels and initialisation"
  )
  first_seed: int = _setting(0, "the first of the seeds")
  test_per_class: int = _setting(30, "test flows of each class")
  validation_per_class: int = _setting(30, "validation flows of each class")
  k: int = _setting(60, "packets of each flow that the method reads")
  iat_range: tuple[float, float] = _setting(
    (0.0, 1.0), "what inter-arrival times of 0 and 1 s become; the authors have (-1, 1)"
  )
  signed_lengths: bool = _setting(
    True, "whether lengths carry the direction; in the authors' code they do not"
  )
  bandwidth_dividers: tuple[float, ...] = _setting(
    (), "bytes/s, ascending; () = midpoints between the labelled flows' class averages"
  )
  duration_dividers: tuple[float, ...] = _setting((), "s, as bandwidth_dividers")
  lambda_: float = _setting(1.0, "weight of the class task")
  tasks: tuple[str, ...] = _setting(
    ("bandwidth", "duration"), "what multitask learns beside the class"
  )
  mask: str = _setting(
    "loss",
    "what keeps unlabelled flows out of the class task: 'loss', or 'features' as in "
    "the authors' code",
  )
  epochs: int = _setting(20, "passes over the training flows")
  batch_size: int = _setting(64, "flows in a step")
  learning_rate: float = _setting(1e-3, "Adam's")
  clip_norm: float = _setting(1.0, "largest norm of a step's gradient")
  dtype: str = _setting("float32", "what networks compute in: float32 or bfloat16")
  shortest_prefix: int = _setting(
    5, "any_k: packets from which on its one model answers"
  )
  packet_budgets: tuple[int, ...] = _setting(
    (10, 20, 30, 45, 60, 90, 120), "packet_budget and any_k: the numbers of packets"
  )
  lambdas: tuple[float, ...] = _setting(
    (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0), "lambda_sweep: the λ"
  )
  learning_rates: tuple[float, ...] = _setting(
    (1e-4, 3e-4, 1e-3, 3e-3), "learning_rate_sweep: the learning rates"
  )
  task_sets: tuple[tuple[str, ...], ...] = _setting(
    (
      (),
      ("bandwidth", "duration"),
      ("mean_length",),
      ("mean_inter_arrival_time",),
      ("inter_arrival_time_deviation",),
      ("bursts",),
      (
        "bandwidth",
        "duration",
        "mean_length",
        "mean_inter_arrival_time",
        "inter_arrival_time_deviation",
        "bursts",
      ),
    ),
    "auxiliary_tasks: the sets of tasks",
  )
  divider_rows: tuple = _setting(
    (((), ()),), "divider_sweep: pairs of bandwidth (bytes/s) and duration (s) dividers"
  )
  runs_at_once: int = _setting(
    0, "runs in one program, whose rows are saved together; 0 = what suits the device"
  )
  paper: tuple = _setting(
    (),
    "rows of (method, labels_per_class, bandwidth, duration, class accuracy) that the "
    "paper reports, in %, to be shown beside ours",
  )
  paper_dataset: str = _setting("", "the paper's dataset that this is: QUIC or ISCX")
  paper_dividers: tuple = _setting(
    (), "rows of (bandwidth dividers, duration dividers, accuracies in %), as paper"
  )

  @classmethod
  def of(cls, config: Mapping[str, object]) -> "Settings":
    """The settings of a config, a `ConfigDict` or any other mapping.

    Settings that it lacks have their defaults.

    Raises:
      InputError: a setting is unknown or cannot be; the message names all that are
        wrong.
    """
    values = {name: _frozen(value) for name, value in dict(config).items()}
    problems = [unknown_setting(name) for name in values if name not in NAMES]
    known = {name: value for name, value in values.items() if name in NAMES}
    settings = cls(**known)
    problems += settings._problems()
    if problems:
      raise InputError("; ".join(problems))
    return settings

  def replace(self, **fields) -> "Settings":
    """The same settings with some changed, checked."""
    return Settings.of(vars(self) | fields)

  def _problems(self) -> list[str]:
    problems = []
    for name, (type_, least, most) in _NUMBERS.items():
      value = getattr(self, name)
      allowed = int if type_ is int else (int, float)
      if isinstance(value, bool) or not isinstance(value, allowed):
        problems.append(f"{name} = {value!r} must be a number")
      elif not least <= value <= most:
        range_ = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
        problems.append(f"{name} = {value} must be {range_}")
    for labels in self.labels_per_class:
      is_number = isinstance(labels, int) and not isinstance(labels, bool)
      if labels != ALL and not (is_number and labels > 0):
        problems.append(
          f"labels_per_class = {labels!r} must be a number above 0 or {ALL!r}"
        )
    for name in ("methods", "labels_per_class"):
      values = getattr(self, name)
      if len(set(values)) != len(values) or not values:
        problems.append(f"{name} = {values} must name some, each once")
    if self.dtype not in ("float32", "bfloat16"):
      problems.append(f"dtype = {self.dtype!r} must be float32 or bfloat16")
    if len(self.iat_range) != 2:
      problems.append(f"iat_range = {self.iat_range} must be two numbers")
    return problems


FIELDS = dataclasses.fields(Settings)
NAMES = tuple(field.name for field in FIELDS)

# Type, least and largest value of those that are numbers.
_NUMBERS: dict[str, tuple[type, float, float]] = {
  "max_packets": (int, 1, math.inf),
  "min_packets": (int, 0, math.inf),
  "num_seeds": (int, 1, _LARGEST_SEED),
  "first_seed": (int, 0, _LARGEST_SEED - 1),
  "test_per_class": (int, 1, math.inf),
  "validation_per_class": (int, 0, math.inf),
  "k": (int, 1, math.inf),
  "lambda_": (float, 0, 1e9),
  "epochs": (int, 1, math.inf),
  "batch_size": (int, 1, math.inf),
  "learning_rate": (float, 1e-12, 1e3),
  "clip_norm": (float, 1e-12, 1e12),
  "shortest_prefix": (int, 1, math.inf),
  "runs_at_once": (int, 0, math.inf),
}


def unknown_setting(name: str) -> str:
  """Says that there is no such setting, and which one may be meant."""
  close = difflib.get_close_matches(name, NAMES, n=1)
  advice = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(NAMES)}"
  return f"there is no setting {name!r}{advice}"


def _frozen(value: object) -> object:
  """Lists and tuples, however deep, as tuples."""
  if isinstance(value, list | tuple):
    return tuple(map(_frozen, value))
  return value
