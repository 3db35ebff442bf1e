"""The settings of an experiment or a training, checked.

A config file gives them as a `ConfigDict`, which flags can change. `Settings.of` turns
it into a frozen dataclass.
"""

import dataclasses
import difflib
import math
import typing
from collections.abc import Mapping

from mtl_traffic.errors import InputError

ALL = "all"  # In labels_per_class: all training flows; in train_partition: all flows.
_LARGEST_SEED = _MANY = 2**31 - 1
DTYPES = ("float32", "bfloat16")
LABELLINGS = ("random", "uniform", "chosen")

# What the paper and others report.
PAPER = ("paper", "paper_dividers", "paper_dataset", "published")


def _setting(default: object, meaning: str):
  return dataclasses.field(default=default, metadata={"meaning": meaning})


@dataclasses.dataclass(frozen=True)
class Settings:
  """Every setting, with its default and a line on what it means.

  The defaults are from section V of the paper and from its authors' code: k = 60
  packets, λ = 1, 20 epochs of Adam at 1e-3 in batches of 64, gradients clipped to norm
  1, 30 test and 30 validation flows a class.
  """

  dataset: str = _setting("simulated", "dataset by name, or a Parquet file of flows")
  train_partition: str = _setting(
    ALL,
    "partitions whose flows are split into training, validation and test flows: names "
    "or patterns, separated by commas, as in 'monday,tuesday' or 'lab-*'; 'all' = all",
  )
  test_partitions: str = _setting(
    "",
    "partitions that are test sets, named as in train_partition; the partitions of one "
    "pattern form one test set. Empty = every partition that is not trained on",
  )
  split_by: str = _setting(
    "",
    "keeps flows of the same 'capture', 'client', 'server', 'day', or of the same "
    "value of any column, together on one side of the split. Empty = no grouping",
  )
  classes: tuple[str, ...] = _setting((), "traffic classes to learn; () = all")
  min_flows_per_class: int = _setting(
    0, "classes with fewer flows are left out; their flows count as unlabelled"
  )
  other_class: str = _setting(
    "", "name of a class that pools the classes left out; empty = no such class"
  )
  max_packets: int = _setting(
    256,
    "packets of each flow that are loaded (at least k); methods that train on whole "
    "flows see these",
  )
  payload_lengths: bool = _setting(
    False,
    "whether the dataset's lengths are of TCP and UDP payload rather than of IP "
    "packets; it is stored with a model",
  )
  min_packets: int = _setting(1, "flows of fewer packets are left out")
  methods: tuple[str, ...] = _setting(("multitask", "single_task"), "what is compared")
  labels_per_class: tuple[int | str, ...] = _setting(
    (10, 20, 50, 100), "numbers, or 'all'"
  )
  labelling: str = _setting(
    "random",
    "which flows are labelled: 'random' ones, as many of each class; 'uniform', as "
    "many in total whatever their class; or 'chosen', as many in total that are "
    "typical and different from each other",
  )
  num_seeds: int = _setting(
    20, "seeds; each draws its own split, labels and initialisation"
  )
  first_seed: int = _setting(0, "the first of the seeds")
  test_per_class: int | float = _setting(
    30,
    "test flows of each class; a value below 1 is a share of the class's flows, and "
    "-100 is all but 100",
  )
  validation_per_class: int | float = _setting(
    30, "validation flows of each class, or a share, as test_per_class"
  )
  k: int = _setting(
    60, "packets of each flow that the method reads; 0 = chosen from the flows' lengths"
  )
  iat_range: tuple[float, float] = _setting(
    (0.0, 1.0),
    "values that encode inter-arrival times of 0 and 1 s; the authors have (-1, 1)",
  )
  signed_lengths: bool = _setting(
    True, "whether lengths carry the direction; in the authors' code they do not"
  )
  bandwidth_dividers: tuple[float, ...] = _setting(
    (), "bytes/s, ascending; () = midpoints between the labelled flows' class averages"
  )
  duration_dividers: tuple[float, ...] = _setting((), "s, as bandwidth_dividers")
  equal_classes: int = _setting(
    0,
    "number of bandwidth and of duration classes, with about as many flows each, used "
    "if no dividers are given; 0 = midpoints between class averages",
  )
  lambda_: float = _setting(1.0, "weight of the class task")
  tasks: tuple[str, ...] = _setting(
    ("bandwidth", "duration"), "the tasks that multitask learns beside the class"
  )
  mask: str = _setting(
    "loss",
    "how unlabelled flows are kept out of the class task: by masking the 'loss', or "
    "the 'features' as in the authors' code",
  )
  balancing: str = _setting(
    "sum",
    "how multitask balances the losses of its tasks: by their 'sum' as in the paper, "
    "by learnt 'uncertainty', by 'pcgrad' or with 'random' weights",
  )
  epochs: int = _setting(20, "passes over the training flows")
  least_steps: int = _setting(
    1900,
    "single_task and cnn_rnn: if the epochs have fewer steps than this in all, there "
    "are more epochs; 0 = never",
  )
  batch_size: int = _setting(64, "flows in a step")
  learning_rate: float = _setting(1e-3, "Adam's")
  clip_norm: float = _setting(1.0, "largest norm of a step's gradient")
  dtype: str = _setting("float32", "what networks compute in: float32 or bfloat16")
  shortest_prefix: int = _setting(
    5, "any_k: the fewest packets after which its model answers; 0 = chosen, like k"
  )
  packet_budgets: tuple[int, ...] = _setting(
    (10, 20, 30, 45, 60, 90, 120), "packet_budget and any_k: numbers of packets to test"
  )
  lambdas: tuple[float, ...] = _setting(
    (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0), "lambda_sweep: values of λ"
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
  divider_rows: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = _setting(
    (((), ()),), "divider_sweep: pairs of bandwidth (bytes/s) and duration (s) dividers"
  )
  runs_at_once: int = _setting(
    0, "runs that train together and are saved together; 0 = chosen for the device"
  )
  paper: tuple[tuple, ...] = _setting(
    (),
    "the paper's results, shown beside ours: rows of (method, labels_per_class, "
    "bandwidth, duration, class accuracy), accuracies in %",
  )
  paper_dataset: str = _setting(
    "", "which of the paper's datasets this is: QUIC or ISCX"
  )
  paper_dividers: tuple[tuple, ...] = _setting(
    (), "the paper's rows of (bandwidth dividers, duration dividers, accuracies in %)"
  )
  published: tuple[tuple, ...] = _setting(
    (),
    "what others report under the same rules, shown beside ours: rows of (tested on, "
    "labels_per_class, method, class accuracy, half of its 95 % interval, weighted F1, "
    "runs, source), figures in %, None where they give none",
  )

  @classmethod
  def of(cls, config: Mapping[str, object]) -> "Settings":
    """Makes settings from a config: a `ConfigDict` or any other mapping.

    Settings that the config lacks have their defaults.

    Raises:
      InputError: a setting is unknown or invalid; the message names all such settings.
    """
    values = {name: _plain(name, value) for name, value in dict(config).items()}
    problems = [unknown_setting(name) for name in values if name not in NAMES]
    known = {name: value for name, value in values.items() if name in NAMES}
    settings = cls(**known)
    problems += settings._problems()
    if problems:
      raise InputError("; ".join(problems))
    return settings

  def replace(self, **fields) -> "Settings":
    """Returns a copy with some settings changed, checked."""
    return Settings.of(vars(self) | fields)

  def _problems(self) -> list[str]:
    return [
      f"{name} = {getattr(self, name)!r} must be {possible}"
      for name in NAMES
      if (possible := _must_be(name, getattr(self, name)))
    ]


FIELDS = dataclasses.fields(Settings)
NAMES = tuple(field.name for field in FIELDS)

_TYPES = typing.get_type_hints(Settings)

# The least and the largest value of each numeric setting, or of its elements.
_RANGES: dict[str, tuple[float, float]] = {
  "max_packets": (1, _MANY),
  "min_packets": (0, _MANY),
  "num_seeds": (1, _LARGEST_SEED),
  "first_seed": (0, _LARGEST_SEED - 1),
  "min_flows_per_class": (0, _MANY),
  "k": (0, _MANY),
  "equal_classes": (0, 1000),
  "lambda_": (0, 10**9),
  "epochs": (1, _MANY),
  "least_steps": (0, _MANY),
  "batch_size": (1, _MANY),
  "learning_rate": (1e-12, 1000),
  "clip_norm": (1e-12, 10**12),
  "shortest_prefix": (0, _MANY),
  "packet_budgets": (1, _MANY),
  "lambdas": (0, 10**9),
  "learning_rates": (1e-12, 1000),
  "runs_at_once": (0, _MANY),
}

_CHOICES = {"dtype": DTYPES, "labelling": LABELLINGS}

# The settings that a comparison iterates over.
_SOME = (
  "methods",
  "labels_per_class",
  "packet_budgets",
  "lambdas",
  "learning_rates",
  "task_sets",
  "divider_rows",
)


def unknown_setting(name: str) -> str:
  """The message for an unknown setting, with the closest existing name."""
  close = difflib.get_close_matches(name, NAMES, n=1)
  advice = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(NAMES)}"
  return f"there is no setting {name!r}{advice}"


def allowed(name: str) -> str:
  """The type of a setting's value, in words."""
  return " or ".join(_CHOICES.get(name, ())) or _NAMES_OF_TYPES[_TYPES[name]]


def bounds(name: str) -> tuple[float, float] | None:
  """The least and the largest value of a numeric setting, or of its elements."""
  return _RANGES.get(name)


def is_tuple(name: str) -> bool:
  """Whether the setting exists and holds several values."""
  return typing.get_origin(_TYPES.get(name)) is tuple


def is_share(name: str) -> bool:
  """Whether a setting is either a number of flows or a share of them."""
  return _TYPES[name] == int | float


def _plain(name: str, value: object) -> object:
  """The value as an immutable; if the setting may be a share, 30.0 becomes 30."""
  value = _frozen(value)
  if isinstance(value, float) and name in NAMES and is_share(name):
    return int(value) if value.is_integer() else value
  return value


def _frozen(value: object) -> object:
  """Turns lists into tuples, nested ones too."""
  if isinstance(value, list | tuple):
    return tuple(map(_frozen, value))
  return value


def _must_be(name: str, value: object) -> str:
  """Says what a setting must be; empty if the value is valid."""
  type_ = _TYPES[name]
  if not _is_of(value, type_):
    return allowed(name)
  if is_share(name):
    return _no_size(value, if_none=name == "validation_per_class")
  if name in _SOME and (not value or len(set(value)) != len(value)):
    return "some, each once"
  if name == "labels_per_class":
    numbers = [labels for labels in value if labels != ALL]
    possible = all(isinstance(n, int) and 1 <= n <= _MANY for n in numbers)
    return "" if possible else f"numbers above 0, or {ALL!r}"
  if name in _CHOICES and value not in _CHOICES[name]:
    return allowed(name)
  if name in _RANGES:
    least, most = _RANGES[name]
    values = value if isinstance(value, tuple) else (value,)
    if min(values) < least:
      return f"at least {least}"
    if max(values) > most:
      return f"at most {most}"
  return ""


def _no_size(value: int | float, if_none: bool) -> str:
  """Says what a number or share of flows must be; empty if the value is valid."""
  if value == 0:
    return "" if if_none else "above 0"
  is_size = 0 < value < 1 or float(value).is_integer()
  possible = is_size and abs(value) <= _MANY
  return "" if possible else "a whole number of flows, or a share"


def _is_of(value: object, type_: object) -> bool:
  """Whether a value has an annotated type; whole numbers count as floats too."""
  if typing.get_origin(type_) is tuple:
    of_items = typing.get_args(type_)
    if not isinstance(value, tuple):
      return False
    if of_items[-1] is ...:
      of_items = of_items[:1] * len(value)
    return len(value) == len(of_items) and all(map(_is_of, value, of_items))
  if typing.get_args(type_):
    return any(_is_of(value, one) for one in typing.get_args(type_))
  if type_ in (int, float):
    allowed = (int, float) if type_ is float else int
    is_number = isinstance(value, allowed) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
  return isinstance(value, type_)


_NAMES_OF_TYPES = {
  bool: "True or False",
  int: "a whole number",
  int | float: "a whole number of flows, or a share of them, as in 30 or 0.2",
  float: "a number",
  str: "text",
  tuple[int, ...]: "whole numbers, as in (5, 8)",
  tuple[int | str, ...]: "numbers or 'all', as in (10, 'all')",
  tuple[float, float]: "two numbers, as in (0.0, 1.0)",
  tuple[float, ...]: "numbers, as in (0.5, 2.0)",
  tuple[str, ...]: "names, as in ('a', 'b')",
  tuple[tuple[str, ...], ...]: "tuples of names, as in (('a', 'b'), ('c',))",
  tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]: (
    "pairs of dividers, as in (((), ()), ((1e5,), (10.0, 30.0)))"
  ),
  tuple[tuple, ...]: "a tuple of tuples",
}
