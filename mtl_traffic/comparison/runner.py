"""Trains and tests the runs of a comparison, and saves their rows."""

import collections
import hashlib
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from tqdm import tqdm

from mtl_traffic import evaluation, placement
from mtl_traffic.comparison.workdir import WorkDir
from mtl_traffic.draws import Draw
from mtl_traffic.errors import DivergedError, InputError
from mtl_traffic.flows import Flows
from mtl_traffic.inputs import Inputs, hyperparameters, make_method
from mtl_traffic.runs import Run
from mtl_traffic.settings import PAPER, Settings
from mtl_traffic.tasks import MAIN_TASKS

# Settings that only say how much to run or how fast, or that each row states itself.
_EXTENT = ("methods", "labels_per_class", "num_seeds", "first_seed", "runs_at_once")
# Settings that only describe the dataset; the flows' fingerprint identifies it.
_TOLD = ("payload_lengths",)
# Settings with the values of sweeps, which only experiments read.
_SWEPT = (
  "packet_budgets",
  "lambdas",
  "learning_rates",
  "divider_rows",
  "task_sets",
  "shortest_prefix",
)


class Runner:
  """Runs several methods on the same flows; saves their rows in a work directory."""

  def __init__(
    self,
    settings: Settings,
    dataset: str,
    flows: Flows,
    path: str,
    runs: Sequence[Run],
    swept: Sequence[str] = (),
    experiment: str = "label_budget",
  ):
    """Checks all input before any training, then opens the work directory.

    Args:
      settings: see `Settings`.
      dataset: the name of the dataset, for the rows.
      flows: the flows of all partitions.
      path: the work directory; it holds the rows of one experiment.
      runs: the runs.
      swept: the names of the settings in which the runs differ.
      experiment: the name of the experiment.

    Raises:
      InputError: naming the setting at fault and what to do.
    """
    self.settings, self.dataset = settings, dataset
    self.runs = list(dict.fromkeys(runs))
    self.inputs = Inputs(settings, flows, self.runs)
    meaning = dict(vars(settings))
    paper = {name: meaning.pop(name) for name in PAPER}
    extent = {name: meaning.pop(name) for name in (*_EXTENT, *_TOLD, *_SWEPT, *swept)}
    meaning |= {
      "experiment": experiment,
      "dataset": dataset,
      "flows": _fingerprint(self.inputs.flows),
      "num_flows": len(self.inputs.flows),
      "classes": self.inputs.flows.class_names,
    }
    kind, number = jax.devices()[0].device_kind, jax.device_count()
    device = "" if jax.default_backend() == "cpu" else f"{number} × {kind}"
    self.workdir = WorkDir(path, meaning, extent, paper, device)

  def finish(self, reuse: bool = False) -> list[dict]:
    """Trains and tests the runs that have no rows yet; returns the rows of all runs.

    Args:
      reuse: whether to copy the rows of runs that an experiment in a neighbouring
        folder has in common with this one.
    """
    finished = self._finished()
    if reuse:
      finished |= self._copied(set(self.runs) - finished)
    left = [run for run in self.runs if run not in finished]
    with tqdm(
      total=len(self.runs),
      initial=len(self.runs) - len(left),
      bar_format="{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total} runs "
      "[{elapsed} < {remaining}]",
      # In a log, a line now and then is enough.
      mininterval=0.2 if sys.stderr.isatty() else 15,
      miniters=0,  # Only the clock decides; not how many runs there were since.
    ) as progress:
      for program in self._programs(left):
        self._finish_program(program, progress)
    asked_for = set(self.runs)
    return [row for row in self.workdir.rows() if Run.of(row) in asked_for]

  def _finished(self) -> set[Run]:
    """The runs whose rows are complete; drops the rows of any other."""
    rows = self.workdir.rows()
    finished = self._complete(rows)
    self.workdir.keep([row for row in rows if Run.of(row) in finished])
    return finished

  def _copied(self, wanted: set[Run]) -> set[Run]:
    """Those of the runs whose rows were found in neighbouring folders, and copied."""
    found = {}  # Two neighbours may have the same run.
    for row in self.workdir.rows_beside():
      found.setdefault((Run.of(row), row["partition"]), row)
    copied = wanted & self._complete(found.values())
    self.workdir.append(row for row in found.values() if Run.of(row) in copied)
    return copied

  def _complete(self, rows: Iterable[dict]) -> set[Run]:
    """The runs that have a row for every test set."""
    tested = collections.Counter(map(Run.of, rows))
    return {run for run, n in tested.items() if n == 1 + len(self.inputs.others)}

  def _programs(self, runs: Sequence[Run]) -> list[list[Run]]:
    """Groups runs that can share a compiled program, in order of first appearance."""
    programs: dict[tuple, list[Run]] = {}
    for run in runs:
      num_dividers = tuple(len(values) for values in run.dividers().values())
      key = (
        make_method(run, self.settings),
        run.k,
        run.tasks,
        run.labelling,
        num_dividers,
      )
      programs.setdefault((run.method, *key, *run.dividers()), []).append(run)
    return list(programs.values())

  def _finish_program(self, program: Sequence[Run], progress: tqdm) -> None:
    """Trains and tests the runs of one program, a chunk at a time."""
    fits: dict[Run, list[Run]] = {}
    for run in program:
      fits.setdefault(run.fitted(), []).append(run)
    method = make_method(program[0], self.settings)
    left = list(fits)
    progress.set_description(program[0].method, refresh=False)
    _show(progress)

    def finish(size: int) -> None:
      while left:
        # The last chunk is padded, so that all chunks have the same program.
        chunk, before = left[:size], progress.n
        padded = [*chunk, *[chunk[0]] * (size - len(chunk))]
        try:
          asked = [run for fit in chunk for run in fits[fit]]
          rows = list(self._fit_and_ask(padded, asked, progress))
        except DivergedError as error:
          # The other runs are trained again. Their results do not depend on the chunk.
          chunk = list(dict.fromkeys(padded[place] for place in error.runs))
          asked = [run for fit in chunk for run in fits[fit]]
          rows = [row for run in asked for row in self._failed(run, str(error))]
        except Exception:
          progress.update(before - progress.n)
          raise
        self.workdir.append(rows)
        left[:] = [fit for fit in left if fit not in chunk]
        progress.n = round(before + len(asked))
        _show(progress)

    try:
      placement.with_room(finish, _chunk_size(len(left), method, self.settings))
    except Exception as error:
      if not placement.out_of_memory(error):
        raise
      raise InputError(
        f"out of memory with a single run of {program[0].method}; take a smaller "
        "batch_size or fewer flows"
      ) from None

  def _fit_and_ask(
    self, fits: Sequence[Run], asked: Sequence[Run], progress: tqdm
  ) -> Iterator[dict]:
    """Yields the rows of the runs in `asked`, which share a program.

    Args:
      fits: the runs to train; runs that differ only at test time share one.
      asked: the runs to test.
      progress: the progress bar.
    """
    start, begun = time.monotonic(), progress.n
    method, problem = self.inputs.problem(fits[0])
    drawn = self.inputs.draw(fits)

    def told(fraction: float) -> None:
      # Slightly less than all, because the chunk is yet to be tested.
      progress.update(begun + len(asked) * fraction * (1 - 1e-9) - progress.n)

    parameters = method.fit(
      problem, drawn, hyperparameters(method, fits), progress=told
    )
    parameters = jax.block_until_ready(parameters)
    seconds = (time.monotonic() - start) / len(set(fits))
    queries = jnp.concatenate(self._asked(drawn), axis=1)
    for packets in dict.fromkeys(run.packets for run in asked):
      at_once = [run for run in asked if run.packets == packets]
      shown = self.inputs.shown(method, at_once[0])
      start = time.monotonic()
      scores = jax.tree.map(np.asarray, method.ask(parameters, shown, queries))
      asking = (time.monotonic() - start) / len(at_once)
      for run in at_once:
        of_run = fits.index(run.fitted())
        if not all(np.isfinite(of_task[of_run]).all() for of_task in scores.values()):
          yield from self._failed(run, "its scores are not finite")
          continue
        yield from self._rows(run, of_run, drawn, scores, round(seconds + asking, 3))

  def _asked(self, drawn: Draw) -> list[jax.Array]:
    """Indices `[R, ...]` of validation flows, test flows, and other partitions."""
    others = self.inputs.others.values()
    num_runs = len(drawn.num_labelled)
    parts = [drawn.validation, drawn.test]
    return parts + [jnp.tile(other, (num_runs, 1)) for other in others]

  def _rows(
    self,
    run: Run,
    index: int,
    drawn: Draw,
    scores: Mapping[str, np.ndarray],
    seconds: float,
  ) -> Iterator[dict]:
    """Yields the rows of a run from the scores `[R, Q, classes]` of R runs."""
    parts = self._asked(drawn)
    stops = np.cumsum([part.shape[1] for part in parts])
    # Flows beyond these numbers are padding.
    numbers = [int(drawn.num_validation[index]), int(drawn.num_test[index])]
    numbers += map(len, self.inputs.others.values())
    targets = {
      "class": self.inputs.flows.classes,
      "bandwidth": np.asarray(drawn.targets["bandwidth"][index]),
      "duration": np.asarray(drawn.targets["duration"][index]),
    }

    def of_part(part: int, task: str) -> tuple[np.ndarray, np.ndarray]:
      flows = np.asarray(parts[part][index])
      begin = stops[part] - len(flows)
      flows = flows[: numbers[part]]
      asked = slice(begin, begin + len(flows))
      return scores[task][index, asked], targets[task][flows]

    for part, name in enumerate(self._partitions(), 1):
      row = {"dataset": self.dataset, "partition": name, **run.identity()}
      for task in targets:
        answered = of_part(part, task) if task in scores else None
        row[f"{task}_accuracy"] = answered and evaluation.accuracy(*answered)
        row[f"{task}_confusion"] = answered and evaluation.confusion(*answered).tolist()
      row["validation_class_accuracy"] = evaluation.accuracy(*of_part(0, "class"))
      yield row | {"seconds": seconds}

  def _partitions(self) -> tuple[str, ...]:
    """The partitions that runs are tested on; the first is the one trained on."""
    return self.settings.train_partition, *self.inputs.others

  def _failed(self, run: Run, error: str) -> Iterator[dict]:
    """Yields the rows of a run that failed."""
    logging.warning(
      "%s, %s labels, seed %d: %s", run.method, run.labels_per_class, run.seed, error
    )
    for name in self._partitions():
      row = {"dataset": self.dataset, "partition": name, **run.identity()}
      for task in ("class", *MAIN_TASKS):
        row |= {f"{task}_accuracy": None, f"{task}_confusion": None}
      yield row | {"validation_class_accuracy": None, "seconds": 0.0, "error": error}


def _show(progress: tqdm) -> None:
  """Shows progress at once on a terminal, and when the next line is due in a log."""
  if sys.stderr.isatty():
    progress.refresh()
  else:
    progress.update(0)


def _chunk_size(num_runs: int, method, settings: Settings) -> int:
  """The number of runs in a chunk, whose rows are saved together.

  Chunks are as equal as possible, so that there is little padding.
  """
  if not method.fits_together:
    return 1
  # Limits how many runs an interruption can lose. `fit` decides how many are vmapped.
  devices = jax.device_count()
  of_device = math.ceil(8 / devices) if jax.default_backend() == "cpu" else 128
  at_once = settings.runs_at_once or of_device * devices
  return math.ceil(num_runs / math.ceil(num_runs / at_once))


def _fingerprint(flows: Flows) -> str:
  """A hash that tells these flows from other flows with the same name."""
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
