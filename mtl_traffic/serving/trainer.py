"""Trains a model to keep: chooses its epoch, and calibrates its probabilities.

The epoch is chosen, and probabilities are calibrated, on the validation flows.
Bandwidth and duration need no label, so some of the training flows without one are held
back and validate those two as well. Without validation flows there is nothing to choose
by: the model is that of the last epoch, as in a comparison.

A model that was tested may then learn from all flows, see `refit`.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic import draws, encoding, losses
from mtl_traffic.draws import Draw
from mtl_traffic.errors import DivergedError, InputError
from mtl_traffic.flows import Flows
from mtl_traffic.inputs import Inputs, check_run, hyperparameters, make_method
from mtl_traffic.methods.base import Method, Parameters, Problem, Progress, Score
from mtl_traffic.runs import Run
from mtl_traffic.serving import calibration, model_schema
from mtl_traffic.serving.checkpoints import Description
from mtl_traffic.serving.predictor import Predictor
from mtl_traffic.settings import ALL, Settings

HELD_BACK = 8  # One in so many training flows without label.
_ASKED = 128  # Flows by which answers are seen to be finite.
_PREFIXES = 5  # Numbers of packets at which a model for prefixes is calibrated.


class Trained(NamedTuple):
  """A trained model.

  Attributes:
    description: what it is.
    parameters: those of its members, as leading axis.
    draw: what it was trained and is to be tested on.
  """

  description: Description
  parameters: Parameters
  draw: Draw


def check(run: Run, settings: Settings, num_members: int = 1) -> None:
  """Raises an InputError if such a model cannot be trained to keep."""
  check_run(run, settings)
  method = make_method(run, settings)
  if method.reads_whole_flows:
    raise InputError(
      f"{run.method} reads whole flows, so it cannot answer for one that goes on; "
      "take another method"
    )
  if num_members > 1 and not method.is_random:
    raise InputError(
      f"an ensemble of {run.method} would be {num_members} times the same; "
      "train a single one"
    )


def train(
  settings: Settings,
  inputs: Inputs,
  run: Run,
  *,
  num_members: int = 1,
  rules: Mapping[str, object] | None = None,
  progress: Progress = lambda fraction: None,
) -> Trained:
  """Trains a model on one draw, chooses its epoch, and calibrates it.

  Args:
    settings: see `Settings`.
    inputs: the flows.
    run: what to train; its seed's draw is that of all members.
    num_members: those of an ensemble; each starts from, and is shuffled by, the key of
      a seed of its own.
    rules: what is known of how the flows were made, see `captures.Rules.shared`.
    progress: told the fraction that is done.

  Raises:
    InputError: such a model cannot be trained to keep, or its training diverged.
  """
  check(run, settings, num_members)
  model_schema.check_training(run.k, inputs.flows.class_names)
  method, problem = inputs.problem(run)
  runs = _members(run, num_members)
  of_members = inputs.draw(runs)
  # One split for all members, or a flow that tests one would train another.
  one = next(draws.each_run(of_members))
  validation = None
  if len(one.validation):
    one, held_back = draws.hold_back(one, HELD_BACK)
    validation = _validation(problem.flows, one, held_back)
  parameters = _fit(
    method,
    problem,
    runs,
    one,
    of_members.key,
    score=validation and _score(method, problem, validation),
    progress=progress,
  )
  description = Description(
    method=run.method,
    settings=dataclasses.asdict(method),
    k=run.k,
    min_packets=settings.min_packets,
    rules={"payload_lengths": settings.payload_lengths, **(rules or {})},
    class_names=problem.flows.class_names,
    dividers=_dividers(one, method),
    temperatures=dict.fromkeys(method.answered, 1.0),
  )
  predictor = Predictor(description, parameters)
  _check_finite(predictor, problem.flows[np.asarray(one.train)[:_ASKED]], run)
  if validation:
    temperatures = _temperatures(predictor, problem.flows, validation)
    description = dataclasses.replace(description, temperatures=temperatures)
  return Trained(description, parameters, one)


def can_refit(run: Run, settings: Settings) -> bool:
  """Whether a tested model may learn from all flows: see `refit`.

  It must have had all labels. And it must not be chosen by its epoch, as networks are,
  which are fitted together: without validation flows there would be nothing to choose
  by.
  """
  return run.labels_per_class == ALL and not make_method(run, settings).fits_together


def refit(
  inputs: Inputs,
  run: Run,
  tested: Trained,
  *,
  progress: Progress = lambda fraction: None,
) -> Trained:
  """The model that learns from all flows to split, once they have told how good it is.

  Args:
    inputs: the flows.
    run: what was trained.
    tested: the model of a part of the flows, whose members, dividers and temperatures
      it has: nothing is left to choose these by.
    progress: told the fraction that is done.
  """
  method, problem = inputs.problem(run)
  runs = _members(run, len(jax.tree.leaves(tested.parameters)[0]))
  draw = draws.with_all(inputs.table, tested.draw)
  keys = inputs.draw(runs).key
  parameters = _fit(method, problem, runs, draw, keys, progress=progress)
  return Trained(tested.description, parameters, draw)


def _members(run: Run, num_members: int) -> list[Run]:
  return [
    dataclasses.replace(run, seed=run.seed + member) for member in range(num_members)
  ]


def _fit(
  method: Method,
  problem: Problem,
  runs: list[Run],
  draw: Draw,
  keys: jax.Array,
  *,
  score: Score | None = None,
  progress: Progress,
) -> Parameters:
  """The parameters of members that learn from one draw, each by a key of its own."""
  shared = jax.tree.map(
    lambda leaf: jnp.broadcast_to(leaf, (len(runs), *leaf.shape)), draw
  )
  try:
    parameters = method.fit(
      problem,
      shared.replace(key=keys),
      hyperparameters(method, runs),
      score=score,
      progress=progress,
    )
  except DivergedError as error:
    seed = runs[error.runs[0]].seed
    raise InputError(f"{runs[0].method}, seed {seed}: {error}") from None
  return jax.tree.map(np.asarray, parameters)


def _check_finite(predictor: Predictor, flows: Flows, run: Run) -> None:
  """Numbers may be too large for a score though each parameter is finite."""
  probabilities = jax.tree.leaves(predictor(flows).probabilities)
  if not all(np.isfinite(of_task).all() for of_task in probabilities):
    raise InputError(
      f"{run.method}, seed {run.seed}: its answers are not finite after the last "
      "epoch; take a smaller learning rate"
    )


class _Validation(NamedTuple):
  """What members are chosen and calibrated by.

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


def _score(method: Method, problem: Problem, validation: _Validation) -> Score:
  """Marks runs by their accuracy on the validation flows, the mean over tasks.

  Of equal ones, the greater likelihood is better. Likelihood alone ends as soon as
  networks become too sure, which the temperature makes up for.
  """
  num_flows = len(validation.flows)
  inputs = problem.inputs[validation.flows]
  shortest = getattr(method, "shortest_prefix", None)
  if shortest is not None:
    # Every flow at another number of packets, from the fewest to all.
    prefixes = jnp.linspace(shortest, inputs.shape[1], num_flows).round()
    order = jax.random.permutation(jax.random.key(0), num_flows)
    inputs = encoding.cut(inputs, prefixes[order])

  def mark(scores: Mapping[str, jax.Array]) -> jax.Array:
    known = {task: jnp.asarray(validation.known[task]) for task in scores}
    loss, _ = losses.multitask_loss(scores, known, dict.fromkeys(known, 1.0))
    right = {task: jnp.argmax(scores[task], axis=-1) == known[task] for task in known}
    accuracies = [
      right[task].sum() / jnp.maximum((known[task] >= 0).sum(), 1) for task in known
    ]
    return sum(accuracies) / len(known) + 1e-4 * jnp.exp(-loss)

  marks = jax.jit(jax.vmap(mark))

  def score(parameters: Parameters) -> jax.Array:
    num_runs = len(jax.tree.leaves(parameters)[0])
    queries = jnp.tile(jnp.arange(num_flows), (num_runs, 1))
    return marks(method.ask(parameters, inputs, queries))

  return score


def _temperatures(
  predictor: Predictor, flows: Flows, validation: _Validation
) -> dict[str, float]:
  """The temperature of each task, for a predictor of temperature 1."""
  asked = flows[validation.flows]
  shortest = predictor.description.shortest_prefix
  answers = [predictor(asked, n) for n in prefixes(shortest, predictor.k)]

  def fit(task: str) -> float:
    probabilities = np.concatenate([a.probabilities[task] for a in answers])
    known = np.tile(validation.known[task], len(answers))
    return calibration.fit_temperature(np.log(np.maximum(probabilities, 1e-30)), known)

  return {task: fit(task) for task in predictor.tasks}


def prefixes(shortest: int, k: int) -> list[int]:
  """The numbers of packets at which a model is calibrated, ascending, up to k.

  Args:
    shortest: from how many packets on it answers.
    k: packets that it reads.
  """
  # Rounded, or 48 packets, which come out as 47.999…, would be 47.
  return np.unique(np.geomspace(shortest, k, _PREFIXES).round().astype(int)).tolist()


def _dividers(draw: Draw, method: Method) -> dict[str, tuple[float, ...]]:
  tasks = [task for task in method.answered if task != "class"]
  dividers = {task: np.asarray(draw.dividers[task]) for task in tasks}
  for task, values in dividers.items():
    if not np.isfinite(values).all():
      raise InputError(
        f"a class has no labelled flow with a {task}, so its dividers are not known; "
        f"label more flows, or give the setting {task}_dividers"
      )
  return {task: tuple(values.tolist()) for task, values in dividers.items()}
