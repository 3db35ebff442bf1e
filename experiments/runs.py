"""From a configuration and flows to rows of results: what every sweep has in common."""

import collections
import dataclasses
import functools
import hashlib
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging
from tqdm import tqdm

from experiments.workdir import WorkDir
from mtl_traffic import draws, encoding, evaluation, models, splits
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows
from mtl_traffic.methods import METHODS
from mtl_traffic.study import Study
from mtl_traffic.training import Schedule

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Run:
  """One training run of a method: what sets it apart from the others of a sweep."""

  method: str
  labels_per_class: int | str
  seed: int
  k: int
  lambda_: float

  def identity(self) -> dict:
    """The part of a row that says which run it belongs to."""
    fields = dataclasses.asdict(self)
    fields["lambda"] = fields.pop("lambda_")
    return fields


# Settings that say how much to run or how fast, or that a row carries itself.
_EXTENT = ("methods", "labels_per_class", "num_seeds", "first_seed", "runs_at_once")


def check(config: ml_collections.ConfigDict) -> None:
  """Raises an InputError if a setting cannot be, naming it."""
  for method in config.methods:
    if method not in METHODS:
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
  if not 0 <= config.lambda_ < math.inf:
    raise InputError(f"config.lambda_: {config.lambda_} must be at least 0")
  if config.dtype not in ("float32", "bfloat16"):
    raise InputError(f"config.dtype: {config.dtype!r} must be float32 or bfloat16")
  if len(config.iat_range) != 2:
    raise InputError(f"config.iat_range: {config.iat_range} must be two numbers")
  for name in ("bandwidth_dividers", "duration_dividers"):
    check_dividers(f"config.{name}", config[name])
  models.convolutions_per_block(config.k)


def check_dividers(name: str, dividers: Sequence[float]) -> None:
  """Raises an InputError unless the dividers are numbers in ascending order."""
  if not all(
    isinstance(value, int | float) and math.isfinite(value) for value in dividers
  ) or any(low >= high for low, high in itertools.pairwise(dividers)):
    raise InputError(f"{name}: {dividers} must be finite numbers, each above the last")


class Sweep:
  """Runs of several methods on the same flows, and the directory of their rows."""

  def __init__(
    self, config: ml_collections.ConfigDict, dataset: str, flows: Flows, path: str
  ):
    """Checks everything that can be checked before any training, then opens the path.

    Args:
      config: see `experiments/configs/common.py`.
      dataset: its name, for the rows.
      flows: all partitions.
      path: the work directory.

    Raises:
      InputError: naming the setting at fault and what to do.
    """
    check(config)
    self.config, self.dataset = config, dataset
    self.flows = _long_enough(flows, config.min_packets)
    eligible, self.others = _partitions(self.flows, config.train_partition)
    splits.check_sizes(
      self.flows.classes,
      self.flows.class_names,
      eligible,
      test_per_class=config.test_per_class,
      validation_per_class=config.validation_per_class,
      labels_per_class=max(_number(n, 1) for n in config.labels_per_class),
    )
    self.table = draws.flow_table(self.flows, eligible)
    settings = config.to_dict()
    settings.pop("paper")
    extent = {name: settings.pop(name) for name in _EXTENT}
    settings |= {"dataset": dataset, "flows": _fingerprint(self.flows)}
    self.workdir = WorkDir(path, settings, extent)

  def runs(self) -> list[Run]:
    """All runs that the configuration asks for, the first seeds first."""
    config = self.config
    seeds = range(config.first_seed, config.first_seed + config.num_seeds)
    return [
      Run(method, labels, seed, config.k, config.lambda_)
      for method in config.methods
      for seed in seeds
      for labels in config.labels_per_class
    ]

  def finish(self, runs: Sequence[Run]) -> list[dict]:
    """Trains and tests the runs that have no rows yet; returns all rows so far."""
    finished = self._finished()
    left = [run for run in runs if run not in finished]
    with tqdm(
      total=len(runs),
      initial=len(runs) - len(left),
      bar_format="{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total} runs "
      "[{elapsed} < {remaining}]",
      # In a log, a line now and then is enough.
      mininterval=0.2 if sys.stderr.isatty() else 15,
    ) as progress:
      for chunk, size in _chunks(left, self.config.runs_at_once):
        progress.set_description(chunk[0].method, refresh=False)
        before = progress.n
        self.workdir.append(self._train_and_test(chunk, size, progress))
        # Not every method tells its epochs, and their fractions do not sum to one.
        progress.n = round(before + len(chunk))
        progress.refresh()
    return self.workdir.rows()

  def _finished(self) -> set[Run]:
    """The runs whose rows are complete; drops the rows of any other."""
    rows = self.workdir.rows()
    tested = collections.Counter(map(_run_of, rows))
    finished = {run for run, n in tested.items() if n == 1 + len(self.others)}
    self.workdir.keep([row for row in rows if _run_of(row) in finished])
    return finished

  @functools.lru_cache(maxsize=1)  # noqa: B019 - one sweep a process
  def _study(self, k: int) -> Study:
    config, num_classes = self.config, self.table.num_classes
    inputs = jax.jit(encoding.encode, static_argnames=("k", "iat_range"))(
      self.flows.packets, k=k, iat_range=tuple(config.iat_range)
    )
    return Study(
      flows=self.flows,
      inputs=inputs,
      num_classes={
        task: len(dividers) + 1 if dividers else num_classes
        for task, dividers in (
          ("bandwidth", config.bandwidth_dividers),
          ("duration", config.duration_dividers),
          ("class", ()),
        )
      },
      schedule=Schedule(
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        clip_norm=config.clip_norm,
      ),
      dtype=jnp.dtype(config.dtype),
    )

  def _draw(self, runs: Sequence[Run]) -> draws.Draw:
    config = self.config
    return draws.draw_many(
      self.table,
      jnp.array([run.seed for run in runs]),
      jnp.array([_number(run.labels_per_class, draws.ALL_LABELS) for run in runs]),
      test_per_class=config.test_per_class,
      validation_per_class=config.validation_per_class,
      dividers={
        task: jnp.array(dividers, jnp.float32)
        for task, dividers in (
          ("bandwidth", config.bandwidth_dividers),
          ("duration", config.duration_dividers),
        )
        if dividers
      },
    )

  def _train_and_test(
    self, runs: Sequence[Run], size: int, progress: tqdm
  ) -> Iterator[dict]:
    """Rows of the runs, which differ neither in method nor in k.

    Fewer runs than `size` are filled up, so that every call is the same program.
    """
    start = time.monotonic()
    study = self._study(runs[0].k)
    padded = [*runs, *[runs[0]] * (size - len(runs))]
    drawn = self._draw(padded)
    parts = [drawn.validation, drawn.test]
    parts += [np.tile(other, (size, 1)) for other in self.others.values()]
    scores = METHODS[runs[0].method](
      study,
      drawn,
      jnp.array([run.lambda_ for run in padded], jnp.float32),
      jnp.concatenate(parts, axis=1),
      lambda: progress.update(len(runs) / study.schedule.epochs * (1 - 1e-9)),
    )
    scores = jax.tree.map(np.asarray, scores)
    targets = {
      "class": np.tile(self.flows.classes, (size, 1)),
      "bandwidth": np.asarray(drawn.targets["bandwidth"]),
      "duration": np.asarray(drawn.targets["duration"]),
    }
    stops = np.cumsum([part.shape[1] for part in parts])
    seconds = round((time.monotonic() - start) / len(runs), 3)

    def accuracy(run: int, part: int, task: str) -> float | None:
      if task not in scores:
        return None
      flows = np.asarray(parts[part][run])
      of_part = scores[task][run, stops[part] - len(flows) : stops[part]]
      return evaluation.accuracy(of_part, targets[task][run, flows])

    for index, run in enumerate(runs):
      for part, name in enumerate((self.config.train_partition, *self.others), 1):
        yield {
          "dataset": self.dataset,
          "partition": name,
          **run.identity(),
          "class_accuracy": accuracy(index, part, "class"),
          "bandwidth_accuracy": accuracy(index, part, "bandwidth"),
          "duration_accuracy": accuracy(index, part, "duration"),
          "validation_class_accuracy": accuracy(index, 0, "class"),
          "seconds": seconds,
        }


def _number(labels_per_class: int | str, if_all: int) -> int:
  return if_all if labels_per_class == ALL else labels_per_class


def _run_of(row: dict) -> Run:
  return Run(
    method=row["method"],
    labels_per_class=row["labels_per_class"],
    seed=row["seed"],
    k=row["k"],
    lambda_=row["lambda"],
  )


def _chunks(runs: Sequence[Run], at_once: int) -> Iterator[tuple[list[Run], int]]:
  """Runs that make one program, and the number of runs that program has.

  The chunks of a method are as equal as can be, so that little is filled up.
  """
  at_once = at_once or (8 if jax.default_backend() == "cpu" else 128)
  for _, group in itertools.groupby(runs, lambda run: (run.method, run.k)):
    group = list(group)
    num_chunks = math.ceil(len(group) / at_once)
    size = math.ceil(len(group) / num_chunks)
    for first in range(0, len(group), size):
      yield group[first : first + size], size


def _long_enough(flows: Flows, min_packets: int) -> Flows:
  kept = flows.num_packets >= min_packets
  if not kept.all():
    logging.info("left out %d flows of under %d packets", (~kept).sum(), min_packets)
  if not kept.any():
    raise InputError(
      f"config.min_packets: no flows are left; none has {min_packets} packets"
    )
  return flows[kept]


def _partitions(
  flows: Flows, train_partition: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """A mask of the flows to split, and the flows of each other partition."""
  if train_partition == ALL:
    return np.ones(len(flows), bool), {}
  if train_partition not in flows.partition_names:
    raise InputError(
      f"config.train_partition: the flows have no partition {train_partition!r}, "
      f"but {', '.join(flows.partition_names)}; {ALL!r} takes all"
    )
  of = {
    name: flows.partitions == code for code, name in enumerate(flows.partition_names)
  }
  eligible = of.pop(train_partition)
  return eligible, {
    name: np.flatnonzero(mask) for name, mask in of.items() if mask.any()
  }


def _fingerprint(flows: Flows) -> str:
  """Tells other flows of the same name from these."""
  digest = hashlib.sha256(repr((flows.class_names, flows.partition_names)).encode())
  for leaf in (
    flows.num_packets,
    flows.durations,
    flows.num_bytes,
    flows.classes,
    flows.partitions,
  ):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()[:16]
