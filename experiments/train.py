"""Trains a model that `experiments.predict` and `mtl_traffic.inference` answer with.

    python -m experiments.train --dataset=flows.parquet --workdir=models/own \
        --config=experiments/configs/own_captures.py --config.labels_per_class=20

Trains as `label_budget` does, on the draw of `config.first_seed`. The epoch is chosen,
and probabilities are calibrated, on the validation flows; what the report says is
measured on the test flows, and on other partitions. Writes the model, `report.md` and
`calibration.png` to the work directory. One draw says little; `--draws=10` trains on
as many, for a report with intervals.

Bandwidth and duration need no label. So some of the training flows without one are held
back, and validate those two as well.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import flags
from tqdm import tqdm

from experiments import cli, model_report, runs
from experiments.studies import Studies
from mtl_traffic import calibration, checkpoints, draws, encoding, losses, sweeps
from mtl_traffic.checkpoints import Description
from mtl_traffic.draws import Draw
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows
from mtl_traffic.inference import Answers, Predictor
from mtl_traffic.methods import multitask
from mtl_traffic.study import Study

# Called as `multitask.train` is.
TRAINERS = {"multitask": multitask.train}
_HELD_BACK = 8  # One in so many training flows without label.

_CONFIG = cli.config_flag("simulated.py")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the model goes.", required=True)
_METHOD = flags.DEFINE_enum("method", "multitask", TRAINERS, "How to train.")
_ENSEMBLE = flags.DEFINE_integer(
  "ensemble", 1, "Networks whose probabilities are averaged.", lower_bound=1
)
_DRAWS = flags.DEFINE_integer(
  "draws",
  1,
  "Draws of split and labels to train on, for the report; the first gives the model.",
  lower_bound=1,
)
_SHORTEST_PREFIX = flags.DEFINE_integer(
  "shortest_prefix",
  None,
  "Train on random prefixes, for answers from this packet on; at the k-th by default.",
  lower_bound=1,
)


def main(argv: Sequence[str]) -> None:
  del argv
  config = _CONFIG.value
  run = _run(config)
  checkpoints.check_absent(_WORKDIR.value)
  dataset, flows = cli.load_flows(config.dataset, run.k)
  studies = Studies(config, flows, [run])
  if len(studies.flows.class_names) < 2:
    raise InputError(f"{dataset}: the flows carry no labels of two or more classes")
  drawn = []
  with tqdm(total=config.epochs * _DRAWS.value, unit=" epochs") as progress:
    for number in range(_DRAWS.value):
      one = dataclasses.replace(run, seed=run.seed + number * _ENSEMBLE.value)
      drawn.append(
        train(
          config,
          studies,
          one,
          _ENSEMBLE.value,
          _SHORTEST_PREFIX.value,
          progress.update,
        )
      )
  workdir = pathlib.Path(_WORKDIR.value)
  report = model_report.write(studies, drawn, workdir)
  description, variables, _ = drawn[0]
  checkpoints.save(workdir, description, variables)
  print(f"{report}\nThe model is in {workdir}/")


def train(
  config: ml_collections.ConfigDict,
  studies: Studies,
  run: runs.Run,
  num_networks: int = 1,
  shortest_prefix: int | None = None,
  on_epoch=lambda: None,
) -> tuple[Description, Mapping, Draw]:
  """Trains networks on one draw, chooses their epochs, and calibrates.

  Args:
    config: see `experiments/configs/common.py`.
    studies: the flows.
    run: what to train; its seed's draw is that of all networks.
    num_networks: each starts from, and is shuffled by, the key of a seed of its own.
    shortest_prefix: see `training.Schedule`.
    on_epoch: called whenever all networks have finished an epoch.

  Returns:
    The model, its variables with the networks as leading axis, and the draw.
  """
  study = studies.study(run)
  study = dataclasses.replace(
    study, schedule=dataclasses.replace(study.schedule, shortest_prefix=shortest_prefix)
  )
  seeds = range(run.seed, run.seed + num_networks)
  of_networks = studies.draw([dataclasses.replace(run, seed=seed) for seed in seeds])
  # One split for all networks, or a flow that tests one would train another.
  one, held_back = draws.hold_back(
    jax.tree.map(lambda leaf: leaf[0], of_networks), _HELD_BACK
  )
  validation = _validation(study.flows, one, held_back)
  shared = jax.tree.map(
    lambda leaf: jnp.broadcast_to(leaf, (num_networks, *leaf.shape)), one
  )
  model, variables = TRAINERS[run.method](
    study,
    shared.replace(key=of_networks.key),
    jnp.full(num_networks, run.lambda_, jnp.float32),
    on_epoch,
    _validation_score(study, validation, shortest_prefix),
  )
  description = Description(
    method=run.method,
    k=run.k,
    shortest_prefix=shortest_prefix,
    min_packets=config.min_packets,
    payload_lengths=config.payload_lengths,
    encoding=studies.encoding(run),
    **checkpoints.describe_network(model),
    class_names=study.flows.class_names,
    dividers=_dividers(one, study.tasks),
    temperatures=dict.fromkeys((*study.tasks, "class"), 1.0),
  )
  temperatures = _temperatures(
    Predictor(description, variables), study.flows, validation, shortest_prefix
  )
  description = dataclasses.replace(description, temperatures=temperatures)
  return description, jax.tree.map(np.asarray, variables), one


def _run(config: ml_collections.ConfigDict) -> runs.Run:
  """The one run that the settings describe."""
  config = config.copy_and_resolve_references()
  config.methods = (_METHOD.value,)
  if len(config.labels_per_class) != 1:
    raise InputError(
      f"config.labels_per_class: {config.labels_per_class} are several; give one, as "
      "in --config.labels_per_class=20, or \"('all',)\""
    )
  if config.validation_per_class < 1:
    raise InputError("config.validation_per_class: must be at least 1 to train a model")
  run = runs.label_budgets(config)[0]
  runs.check_run(run)
  shortest = _SHORTEST_PREFIX.value
  if shortest is not None and shortest > run.k:
    raise InputError(f"--shortest_prefix: {shortest} is more than k = {run.k}")
  return run


class _Validation(NamedTuple):
  """What networks are chosen and calibrated by.

  Attributes:
    flows: `[V]`, which flows.
    known: per task `[V]`, their targets; −1 where they may not be known.
  """

  flows: np.ndarray
  known: dict[str, np.ndarray]


def _validation(flows: Flows, draw: Draw, held_back: np.ndarray) -> _Validation:
  """The validation flows, and after them those that were held back, without class."""
  validation = np.asarray(draw.validation)
  both = np.concatenate([validation, held_back])
  known = {
    task: draws.truth(flows, draw, task)[both] for task in ("class", *draw.dividers)
  }
  known["class"][len(validation) :] = -1
  return _Validation(both, known)


def _validation_score(
  study: Study, validation: _Validation, shortest_prefix: int | None
):
  """Marks networks by their accuracy on the validation flows, the mean over tasks.

  Of equal ones, the greater likelihood is better. Likelihood alone ends as soon as
  networks become too sure, which the temperature makes up for.
  """
  num_flows = len(validation.flows)
  known = {task: validation.known[task] for task in (*study.tasks, "class")}
  inputs = study.inputs[validation.flows]
  if shortest_prefix is not None:
    # Every flow at another number of packets, from the fewest to all.
    prefixes = jnp.linspace(shortest_prefix, study.k, num_flows).round()
    order = jax.random.permutation(jax.random.key(0), num_flows)
    inputs = encoding.cut(inputs, prefixes[order])

  def mark(logits: Mapping[str, jax.Array]) -> jax.Array:
    loss, _ = losses.multitask_loss(logits, known, dict.fromkeys(known, jnp.float32(1)))
    right = {task: jnp.argmax(logits[task], axis=-1) == known[task] for task in known}
    accuracies = [
      right[task].sum() / np.maximum((known[task] >= 0).sum(), 1) for task in known
    ]
    return sum(accuracies) / len(known) + 1e-4 * jnp.exp(-loss)

  def score(model: nn.Module, variables: Mapping) -> jax.Array:
    num_networks = len(jax.tree.leaves(variables)[0])
    queries = jnp.tile(jnp.arange(num_flows), (num_networks, 1))
    logits = sweeps.predict(variables, inputs, queries, model=model)
    return jax.vmap(mark)(logits)

  return score


def _temperatures(
  predictor: Predictor,
  flows: Flows,
  validation: _Validation,
  shortest_prefix: int | None,
) -> dict[str, float]:
  """The temperature of each task, for a predictor of temperature 1."""
  asked = flows[validation.flows]
  shown = sorted(
    {int(n) for n in np.geomspace(shortest_prefix or predictor.k, predictor.k, 5)}
  )
  answers: list[Answers] = [predictor(asked, n) for n in shown]

  def fit(task: str) -> float:
    probabilities = np.concatenate([a.probabilities[task] for a in answers])
    known = np.tile(validation.known[task], len(answers))
    return calibration.fit_temperature(np.log(np.maximum(probabilities, 1e-30)), known)

  return {task: fit(task) for task in predictor.tasks}


def _dividers(draw: Draw, tasks: Sequence[str]) -> dict[str, tuple[float, ...]]:
  dividers = {task: np.asarray(draw.dividers[task]) for task in tasks}
  for task, values in dividers.items():
    if not np.isfinite(values).all():
      raise InputError(
        f"a class has no labelled flow with a {task}, so its dividers are not known; "
        f"label more flows, or give --config.{task}_dividers"
      )
  return {task: tuple(values.tolist()) for task, values in dividers.items()}


if __name__ == "__main__":
  cli.run(main)
