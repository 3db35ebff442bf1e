"""One model for any number of packets beside one model for each.

`multitask_any_k` is trained once a seed on prefixes of random length, from
`config.shortest_prefix` to the largest of `config.packet_budgets`, and asked at every
one of them. `multitask` is trained for each. Writes what `label_budget` writes.
"""

import dataclasses
import time
from collections.abc import Sequence

import jax.numpy as jnp
import tqdm
from absl import flags

from experiments import cli, runs
from experiments.sweep import Sweep, open_sweep
from mtl_traffic import encoding, models, reporting, sweeps
from mtl_traffic.errors import InputError
from mtl_traffic.methods import multitask

_CONFIG = cli.config_flag("simulated.py")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where results go.", required=True)

ANY_K = "multitask_any_k"


def main(argv: Sequence[str]) -> None:
  del argv
  config = _CONFIG.value
  config.methods = ("multitask",)
  budgets = sorted(config.packet_budgets)
  if not 1 <= config.shortest_prefix <= budgets[0]:
    raise InputError(
      f"config.shortest_prefix: {config.shortest_prefix} must be 1 to {budgets[0]}"
    )
  # At fewer packets than the network can be built for, there is but the one for any k.
  each = [
    run
    for k in budgets
    if k >= models.FEWEST_PACKETS
    for run in runs.label_budgets(config, k=k)
  ]
  sweep = open_sweep(config, _WORKDIR.value, each, swept=("k",))
  rows = sweep.finish() + train_any_k(sweep, budgets)
  table = reporting.accuracy_table(
    rows, ("method", "labels_per_class", "k"), reference=("method", "multitask")
  )
  figure = sweep.workdir.path / "any_k.png"
  reporting.sweep_figure(rows, "k", "packets", figure)
  sweep.conclude(table)


def train_any_k(sweep: Sweep, budgets: Sequence[int]) -> list[dict]:
  """The rows of the model for any k, trained where they are not there yet."""
  config = sweep.config
  asked = [
    dataclasses.replace(run, method=ANY_K)
    for run in runs.label_budgets(config, k=budgets[-1])
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


if __name__ == "__main__":
  cli.run(main)
