"""Conducts an experiment: computes its rows, and writes its table and figure."""

import os
from collections.abc import Sequence

from mtl_traffic import files
from mtl_traffic.comparison.experiment import Experiment
from mtl_traffic.comparison.runner import Runner
from mtl_traffic.flows import Flows
from mtl_traffic.runs import Run
from mtl_traffic.settings import PAPER, Settings


def conduct(
  experiment: Experiment,
  settings: Settings,
  dataset: str,
  flows: Flows,
  path: str | os.PathLike,
  runs: Sequence[Run] | None = None,
  reuse: bool = False,
) -> str:
  """Runs what has no rows yet in the work directory, then writes table and figure.

  Args:
    experiment: the experiment.
    settings: see `Settings`.
    dataset: the name of the dataset.
    flows: the flows of all partitions.
    path: the work directory.
    runs: the runs; those that the settings define by default.
    reuse: see `Runner.finish`.

  Returns:
    The table, as Markdown with a line of introduction.

  Raises:
    InputError: naming the setting at fault and what to do.
  """
  runs = experiment.runs(settings) if runs is None else runs
  runner = Runner(
    settings, dataset, flows, path, runs, experiment.swept, experiment.name
  )
  rows = runner.finish(reuse)
  paper = {name: getattr(settings, name) for name in PAPER}
  table = experiment.table(rows, paper)
  text = f"{experiment.introduction}\n\n{table.markdown()}"
  workdir = runner.workdir
  workdir.write_text("table.md", text)
  workdir.write_text("table.csv", table.csv())
  files.write_figure(
    workdir.path / f"{experiment.name}.png", experiment.figure(rows, paper)
  )
  workdir.close()
  return text
