"""Trains and tests the runs of a sweep, and keeps their rows."""

import collections
import functools
import hashlib
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

from experiments.runs import ALL, Run, check_run
from experiments.workdir import WorkDir
from mtl_traffic import draws, encoding, evaluation, splits
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows
from mtl_traffic.methods import ABLATIONS, METHODS
from mtl_traffic.study import Study
from mtl_traffic.tasks import MAIN_TASKS
from mtl_traffic.training import Schedule

# Settings that say how much to run or how fast, or that a row tells and tables show.
_EXTENT = ("methods", "labels_per_class", "num_seeds", "first_seed", "runs_at_once")
# What the paper reports, to be shown beside the rows.
PAPER = ("paper", "paper_dividers", "paper_dataset")
# What experiments sweep, and only they read.
_SWEPT = ("packet_budgets", "lambdas", "divider_rows", "task_sets")


class Sweep:
  """Runs of several methods on the same flows, and the directory of their rows."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    dataset: str,
    flows: Flows,
    path: str,
    runs: Sequence[Run],
    swept: Sequence[str] = (),
    experiment: str = "label_budget",
  ):
    """Checks everything that can be checked before any training, then opens the path.

    Args:
      config: see `experiments/configs/common.py`.
      dataset: its name, for the rows.
      flows: all partitions.
      path: the work directory.
      runs: what is to be run.
      swept: the settings in which the runs differ.
      experiment: what the sweep is for; a path holds one experiment's rows.

    Raises:
      InputError: naming the setting at fault and what to do.
    """
    self.config, self.dataset, self.runs = config, dataset, runs
    for run in runs:
      check_run(run)
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
    tasks = dict.fromkeys(task for run in runs for task in run.tasks)
    self.table = draws.flow_table(
      self.flows, eligible, tuple(dict.fromkeys(MAIN_TASKS) | tasks)
    )
    settings = config.to_dict()
    paper = {name: settings.pop(name) for name in PAPER}
    extent = {name: settings.pop(name) for name in (*_EXTENT, *_SWEPT, *swept)}
    settings |= {
      "experiment": experiment,
      "dataset": dataset,
      "flows": _fingerprint(self.flows),
      "num_flows": len(self.flows),
      "classes": self.flows.class_names,
    }
    self.workdir = WorkDir(path, settings, extent, paper)

  def finish(self) -> list[dict]:
    """Trains and tests the runs that have no rows yet; returns the rows of all."""
    finished = self._finished()
    left = [run for run in self.runs if run not in finished]
    with tqdm(
      total=len(self.runs),
      initial=len(self.runs) - len(left),
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
    asked_for = set(self.runs)
    return [row for row in self.workdir.rows() if Run.of(row) in asked_for]

  def _finished(self) -> set[Run]:
    """The runs whose rows are complete; drops the rows of any other."""
    rows = self.workdir.rows()
    tested = collections.Counter(map(Run.of, rows))
    finished = {run for run, n in tested.items() if n == 1 + len(self.others)}
    self.workdir.keep([row for row in rows if Run.of(row) in finished])
    return finished

  @functools.lru_cache(maxsize=1)  # noqa: B019 - there is one sweep in a process
  def _inputs(self, k: int, signed_lengths: bool) -> jax.Array:
    static = ("k", "iat_range", "signed_lengths")
    return jax.jit(encoding.encode, static_argnames=static)(
      self.flows.packets,
      k=k,
      iat_range=tuple(self.config.iat_range),
      signed_lengths=signed_lengths,
    )

  def _study(self, run: Run) -> Study:
    num_classes = dict.fromkeys((*self.table.values, "class"), self.table.num_classes)
    for task, dividers in _dividers(run).items():
      num_classes[task] = len(dividers) + 1
    return Study(
      flows=self.flows,
      inputs=self._inputs(run.k, run.signed_lengths),
      num_classes=num_classes,
      schedule=_schedule(self.config),
      tasks=run.tasks,
      mask=run.mask,
      dtype=jnp.dtype(self.config.dtype),
    )

  def _draw(self, runs: Sequence[Run]) -> draws.Draw:
    return draws.draw_many(
      self.table,
      jnp.array([run.seed for run in runs]),
      jnp.array([_number(run.labels_per_class, draws.ALL_LABELS) for run in runs]),
      test_per_class=self.config.test_per_class,
      validation_per_class=self.config.validation_per_class,
      dividers={
        task: jnp.array([_dividers(run)[task] for run in runs], jnp.float32)
        for task in _dividers(runs[0])
      },
    )

  def _train_and_test(
    self, runs: Sequence[Run], size: int, progress: tqdm
  ) -> Iterator[dict]:
    """Rows of the runs, which are of one program.

    Fewer runs than `size` are filled up, so that every call is the same program.
    """
    start = time.monotonic()
    study = self._study(runs[0])
    padded = [*runs, *[runs[0]] * (size - len(runs))]
    drawn = self._draw(padded)
    parts = [drawn.validation, drawn.test]
    parts += [np.tile(other, (size, 1)) for other in self.others.values()]
    scores = (METHODS | ABLATIONS)[runs[0].method](
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

    def of_part(run: int, part: int, task: str) -> tuple[np.ndarray, np.ndarray]:
      flows = np.asarray(parts[part][run])
      asked = slice(stops[part] - len(flows), stops[part])
      return scores[task][run, asked], targets[task][run, flows]

    for index, run in enumerate(runs):
      for part, name in enumerate((self.config.train_partition, *self.others), 1):
        row = {"dataset": self.dataset, "partition": name, **run.identity()}
        for task in targets:
          answered = of_part(index, part, task) if task in scores else None
          row[f"{task}_accuracy"] = answered and evaluation.accuracy(*answered)
          row[f"{task}_confusion"] = (
            answered and evaluation.confusion(*answered).tolist()
          )
        row["validation_class_accuracy"] = evaluation.accuracy(
          *of_part(index, 0, "class")
        )
        yield row | {"seconds": seconds}


def _dividers(run: Run) -> dict[str, tuple[float, ...]]:
  """The dividers that a run is given; it draws the others."""
  given = {"bandwidth": run.bandwidth_dividers, "duration": run.duration_dividers}
  return {task: dividers for task, dividers in given.items() if dividers}


def _schedule(config: ml_collections.ConfigDict) -> Schedule:
  return Schedule(
    epochs=config.epochs,
    batch_size=config.batch_size,
    learning_rate=config.learning_rate,
    clip_norm=config.clip_norm,
  )


def _number(labels_per_class: int | str, if_all: int) -> int:
  return if_all if labels_per_class == ALL else labels_per_class


def _chunks(runs: Sequence[Run], at_once: int) -> Iterator[tuple[list[Run], int]]:
  """Runs that make one program, and the number of runs that program has.

  The chunks of a program are as equal as can be, so that little is filled up.
  """
  at_once = at_once or (8 if jax.default_backend() == "cpu" else 128)
  programs: dict[tuple, list[Run]] = {}
  for run in runs:
    programs.setdefault(run.program(), []).append(run)
  for group in programs.values():
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
