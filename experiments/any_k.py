"""One model for any number of packets beside one model for each.

`multitask_any_k` is trained once a seed on prefixes of random length, from
`config.shortest_prefix` to the largest of `config.packet_budgets`, and asked at every
one of them. `multitask` is trained for each. Writes what `label_budget` writes.
"""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import ml_collections
import tqdm

from experiments import runs
from experiments.experiment import Experiment
from experiments.sweep import Sweep
from mtl_traffic import encoding, figures, models, reporting, sweeps
from mtl_traffic.errors import InputError
from mtl_traffic.methods import multitask

ANY_K = "multitask_any_k"


def _runs(config: ml_collections.ConfigDict) -> list[runs.Run]:
  """The models for each number of packets."""
  config = config.copy_and_resolve_references()
  config.methods = ("multitask",)
  least = min(config.packet_budgets)
  if not 1 <= config.shortest_prefix <= least:
    raise InputError(
      f"config.shortest_prefix: {config.shortest_prefix} must be 1 to {least}"
    )
  # At fewer packets than the network can be built for, there is but the one for any k.
  return [
    run
    for k in sorted(config.packet_budgets)
    if k >= models.FEWEST_PACKETS
    for run in runs.label_budgets(config, k=k)
  ]


def _any_k_rows(sweep: Sweep) -> list[dict]:
  """The rows of the model for any k, trained where they are not there yet."""
  budgets = sorted(sweep.config.packet_budgets)
  asked = [
    dataclasses.replace(run, method=ANY_K) for run in sweep.runs if run.k == budgets[-1]
  ]
  there = {runs.Run.of(row) for row in sweep.workdir.rows()}
  for run in tqdm.tqdm([run for run in asked if run not in there], unit=" any-k runs"):
    sweep.workdir.append(_train_one(sweep, run, budgets))
  of_any_k = set(asked)
  return [
    row
    for row in sweep.workdir.rows()
    if dataclasses.replace(runs.Run.of(row), k=budgets[-1]) in of_any_k
  ]


def _train_one(sweep: Sweep, run: runs.Run, budgets: Sequence[int]) -> list[dict]:
  start = time.monotonic()
  study = sweep.studies.study(run)
  schedule = dataclasses.replace(
    study.schedule, shortest_prefix=sweep.config.shortest_prefix
  )
  drawn = sweep.studies.draw([run])
  model, variables = multitask.train(
    dataclasses.replace(study, schedule=schedule), drawn, jnp.array([run.lambda_])
  )
  seconds = round(time.monotonic() - start, 3)
  queries = sweep.queries(drawn)
  rows = []
  for k in budgets:
    inputs = encoding.cut(study.inputs, jnp.full(len(study.inputs), k))
    scores = sweeps.predict(variables, inputs, queries, model=model)
    at_k = dataclasses.replace(run, k=k)
    rows += sweep.rows([at_k], drawn, scores, seconds)
  return rows


def _table(rows: list[dict], paper: Mapping) -> reporting.Table:
  del paper  # It has a model for each k.
  return reporting.accuracy_table(
    rows,
    ("method", "labels_per_class", "k"),
    reference={"method": "multitask"},
    reference_name="multitask",
  )


def _figure(rows: list[dict], paper: Mapping, path: pathlib.Path) -> None:
  del paper
  figures.sweep_figure(rows, "k", "packets", path)


EXPERIMENT = Experiment(
  name="any_k",
  title="One model for any number of packets",
  runs=_runs,
  table=_table,
  figure=_figure,
  swept=("k",),
  more_rows=_any_k_rows,
)

if __name__ == "__main__":
  EXPERIMENT.main()
