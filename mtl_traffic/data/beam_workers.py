"""Runs tasks on the workers of an Apache Beam runner; needs the extra `beam`.

Results come back as files in a folder that all machines share. So the runner need not
return them in another way, and the progress can be seen in the folder.
"""

import contextlib
import functools
import importlib
import io
import json
import logging
import os
import pathlib
import threading
import types
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mtl_traffic.errors import InputError

_LOOK_EVERY_S = 0.5
_PROBLEM = "problem"  # The file of what is wrong with the input.


class BeamWorkers:
  """The workers of a runner."""

  def __init__(self, runner: str, options: Sequence[str] = ()):
    """Checks that there is such a runner; starts nothing.

    Args:
      runner: its name, as Beam knows it, such as "DirectRunner".
      options: further options of pipelines, such as "direct_num_workers=2".

    Raises:
      InputError: Beam is not installed, or cannot use this.
    """
    beam = _import_beam()
    from apache_beam.options.pipeline_options import PipelineOptions

    self._runner = runner
    arguments = [f"--runner={runner}", *(f"--{option}" for option in options)]
    said = io.StringIO()
    try:
      with contextlib.redirect_stderr(said):
        self._options = PipelineOptions(arguments)
        self._options.get_all_options(retain_unknown_options=True)
        beam.Pipeline(options=self._options)
    except SystemExit:  # By which the parser of options ends.
      problem = said.getvalue().strip().rpartition("error: ")[2]
      raise InputError(f"{', '.join(options)}: {problem}") from None
    except (ValueError, ImportError, AttributeError) as error:
      raise InputError(f"{runner}: {' '.join(str(error).split())}") from None

  def map(
    self,
    folder: pathlib.Path,
    work: Callable[[Any], Any],
    tasks: Sequence,
    done: Callable[[int], None] = lambda number: None,
  ) -> Iterator:
    """Yields the results of all tasks, in order, when the last one is done.

    Args:
      folder: one that the workers see under the same path; results are left in it.
      work: the function; its results are JSON. A runner may call it several times for
        a task.
      tasks: its arguments; each is an element of the pipeline.
      done: called with the number of each task that is done, from another thread.

    Raises:
      InputError: the work raised it, or the runner failed.
    """
    beam = _import_beam()
    results = folder / uuid.uuid4().hex
    results.mkdir()
    do = functools.partial(_do, work=work, results=results)
    try:
      with _watching(results, done):
        pipeline = beam.Pipeline(options=self._options)
        _ = (
          pipeline
          | "Tasks" >> beam.Create(list(enumerate(tasks)))
          | "Spread" >> beam.Reshuffle()
          | "Work" >> beam.Map(do)
        )
        pipeline.run().wait_until_finish()
    except Exception as error:  # A runner may raise anything.
      said = str(error).split("\n")
      why = next(filter(None, map(str.strip, reversed(said))), type(error).__name__)
      raise InputError(f"{self._runner}: {why}") from error
    if (results / _PROBLEM).exists():
      raise InputError((results / _PROBLEM).read_text())
    for number in range(len(tasks)):
      try:
        text = (results / str(number)).read_text()
      except FileNotFoundError:
        raise InputError(
          f"{folder}: not all workers of {self._runner} left their results there; "
          "write to a folder that all machines share"
        ) from None
      yield json.loads(text)


def _import_beam() -> types.ModuleType:
  """Imports Apache Beam, and limits its log to warnings.

  Raises:
    InputError: it is not installed.
  """
  logging.getLogger("apache_beam").setLevel(logging.WARNING)
  before = logging.root.manager.disable
  logging.disable(logging.WARNING)  # It warns of services that nobody asked for.
  try:
    return importlib.import_module("apache_beam")
  except ImportError:
    raise InputError(
      "Apache Beam is missing; pip install 'mtl_traffic[beam]' brings it"
    ) from None
  finally:
    logging.disable(before)


def _do(numbered: tuple[int, Any], work: Callable, results: pathlib.Path) -> None:
  """Does one task; its result appears when it is complete."""
  number, task = numbered
  if (results / _PROBLEM).exists():
    return  # The run fails anyway.
  try:
    name, text = str(number), json.dumps(work(task))
  except InputError as error:
    name, text = _PROBLEM, str(error)
  partial = results / f".{uuid.uuid4().hex}"
  partial.write_text(text)
  partial.replace(results / name)


@contextlib.contextmanager
def _watching(results: pathlib.Path, done: Callable[[int], None]) -> Iterator[None]:
  """Reports each result that appears in the folder."""
  over = threading.Event()

  def watch() -> None:
    seen = set()
    while True:
      is_last = over.wait(_LOOK_EVERY_S)
      found = {int(name) for name in os.listdir(results) if name.isdigit()}
      for number in sorted(found - seen):
        done(number)
      seen |= found
      if is_last:
        return

  thread = threading.Thread(target=watch, daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()
