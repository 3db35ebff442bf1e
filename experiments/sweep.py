"""Trains and tests the runs of a sweep, and keeps their rows."""

import collections
import hashlib
import itertools
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging
from tqdm import tqdm

from experiments.runs import Run, check_run
from experiments.studies import Studies
from experiments.workdir import WorkDir
from mtl_traffic import draws, evaluation, sweeps
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows
from mtl_traffic.methods import ABLATIONS, METHODS

# Settings that say how much to run or how fast, or that a row tells and tables show.
_EXTENT = ("methods", "labels_per_class", "num_seeds", "first_seed", "runs_at_once")
# What is told of the dataset; a row depends on the flows, whose fingerprint is kept.
_TOLD = ("payload_lengths",)
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
    self.studies = Studies(config, flows, runs)
    settings = config.to_dict()
    paper = {name: settings.pop(name) for name in PAPER}
    extent = {name: settings.pop(name) for name in (*_EXTENT, *_TOLD, *_SWEPT, *swept)}
    settings |= {
      "experiment": experiment,
      "dataset": dataset,
      "flows": _fingerprint(self.studies.flows),
      "num_flows": len(self.studies.flows),
      "classes": self.studies.flows.class_names,
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
      chunks = collections.deque(_chunks(left, self.config.runs_at_once))
      while chunks:
        chunk, size = chunks.popleft()
        progress.set_description(chunk[0].method, refresh=False)
        before = progress.n
        try:
          rows = list(self._train_and_test(chunk, size, progress))
        except Exception as error:
          if not sweeps.out_of_memory(error):
            raise
          left = [*chunk, *itertools.chain(*(later for later, _ in chunks))]
          chunks = collections.deque(_chunks(left, _fewer(size, chunk[0])))
          progress.n = before
          continue
        self.workdir.append(rows)
        # Not every method tells its epochs, and their fractions do not sum to one.
        progress.n = round(before + len(chunk))
        progress.refresh()
    asked_for = set(self.runs)
    return [row for row in self.workdir.rows() if Run.of(row) in asked_for]

  def _finished(self) -> set[Run]:
    """The runs whose rows are complete; drops the rows of any other."""
    rows = self.workdir.rows()
    tested = collections.Counter(map(Run.of, rows))
    finished = {run for run, n in tested.items() if n == 1 + len(self.studies.others)}
    self.workdir.keep([row for row in rows if Run.of(row) in finished])
    return finished

  def _train_and_test(
    self, runs: Sequence[Run], size: int, progress: tqdm
  ) -> Iterator[dict]:
    """Rows of the runs, which are of one program.

    Fewer runs than `size` are filled up, so that every call is the same program.
    """
    start = time.monotonic()
    study = self.studies.study(runs[0])
    padded = [*runs, *[runs[0]] * (size - len(runs))]
    drawn = self.studies.draw(padded)
    scores = (METHODS | ABLATIONS)[runs[0].method](
      study,
      drawn,
      jnp.array([run.lambda_ for run in padded], jnp.float32),
      self.queries(drawn),
      lambda: progress.update(len(runs) / study.schedule.epochs * (1 - 1e-9)),
    )
    seconds = round((time.monotonic() - start) / len(runs), 3)
    yield from self.rows(runs, drawn, scores, seconds)

  def queries(self, drawn: draws.Draw) -> jax.Array:
    """`[R, Q]`, the flows that runs are to answer for."""
    return jnp.concatenate(self._asked(drawn), axis=1)

  def _asked(self, drawn: draws.Draw) -> list[jax.Array]:
    """`[R, ...]` validation flows, test flows, and those of other partitions."""
    others = self.studies.others.values()
    num_runs = len(drawn.num_labelled)
    parts = [drawn.validation, drawn.test]
    return parts + [jnp.tile(other, (num_runs, 1)) for other in others]

  def rows(
    self,
    runs: Sequence[Run],
    drawn: draws.Draw,
    scores: Mapping[str, jax.Array],
    seconds: float,
  ) -> Iterator[dict]:
    """What the runs' scores `[R, Q, classes]` for `queries` are worth.

    The draw and the scores may be of more runs, of which the first ones count.
    """
    scores = jax.tree.map(np.asarray, scores)
    parts = self._asked(drawn)
    num_runs = len(drawn.num_labelled)
    targets = {
      "class": np.tile(self.studies.flows.classes, (num_runs, 1)),
      "bandwidth": np.asarray(drawn.targets["bandwidth"]),
      "duration": np.asarray(drawn.targets["duration"]),
    }
    stops = np.cumsum([part.shape[1] for part in parts])

    def of_part(run: int, part: int, task: str) -> tuple[np.ndarray, np.ndarray]:
      flows = np.asarray(parts[part][run])
      asked = slice(stops[part] - len(flows), stops[part])
      return scores[task][run, asked], targets[task][run, flows]

    for index, run in enumerate(runs):
      for part, name in enumerate(
        (self.config.train_partition, *self.studies.others), 1
      ):
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


def _fewer(size: int, run: Run) -> int:
  """How many runs to try in a program after the memory did not suffice for `size`."""
  if size == 1:
    raise InputError(
      f"out of memory with a single run of {run.method}; give a smaller "
      "config.batch_size or fewer flows"
    )
  logging.warning("out of memory with %d runs in a program; trying half", size)
  return math.ceil(size / 2)


def _chunks(runs: Sequence[Run], at_once: int) -> Iterator[tuple[list[Run], int]]:
  """Runs that make one program, and the number of runs that program has.

  The chunks of a program are as equal as can be, so that little is filled up.
  """
  # Rows are saved this often; how many runs go together is for `fit` to see.
  devices = jax.device_count()
  of_device = math.ceil(8 / devices) if jax.default_backend() == "cpu" else 128
  at_once = at_once or of_device * devices
  programs: dict[tuple, list[Run]] = {}
  for run in runs:
    programs.setdefault(run.program(), []).append(run)
  for group in programs.values():
    num_chunks = math.ceil(len(group) / at_once)
    size = math.ceil(len(group) / num_chunks)
    for first in range(0, len(group), size):
      yield group[first : first + size], size


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
