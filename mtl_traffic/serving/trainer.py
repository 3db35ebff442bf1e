"""Trains a model to save: chooses its epoch, and calibrates its probabilities.

Both are done on the validation flows. Bandwidth and duration need no label, so some
unlabelled training flows are held back to validate these two as well. Without
validation flows the last epoch is kept, as in a comparison.

After its test, a model can be trained again on all flows, see `refit`.
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

HELD_BACK = 8  # One in 8 unlabelled training flows is held back.
_ASKED = 128  # Flows for the check that answers are finite.
_PREFIXES = 5  # Numbers of packets at which a model for prefixes is calibrated.


class Trained(NamedTuple):
  """A trained model.

  Attributes:
    description: the model's description.
    parameters: the parameters; the members are the leading axis.
    draw: the flows that it was trained on, and those to test it on.
  """

  description: Description
  parameters: Parameters
  draw: Draw


def check(run: Run, settings: Settings, num_members: int = 1) -> None:
  """Raises an InputError if a model of this kind cannot be saved."""
  check_run(run, settings)
  method = make_method(run, settings)
  if method.reads_whole_flows:
    raise InputError(
      f"{run.method} reads whole flows, so it cannot answer while a flow goes on; "
      "take another method"
    )
  if num_members > 1 and not method.is_random:
    raise InputError(
      f"{run.method} is not random: {num_members} members would be equal; train a "
      "single one"
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
    run: the run to train; all members use the draw of its seed.
    num_members: size of the ensemble. Each member has a seed of its own for its initial
      parameters and for shuffling.
    rules: the rules that made the flows, if known, see `captures.Rules.shared`.
    progress: called with the fraction that is done.

  Raises:
    InputError: a model of this kind cannot be saved, or its training diverged.
  """
  check(run, settings, num_members)
  model_schema.check_training(run.k, inputs.flows.class_names)
  method, problem = inputs.problem(run)
  runs = _members(run, num_members)
  of_members = inputs.draw(runs)
  # All members have one split. Otherwise a test flow of one could train another.
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
    class_counts=_class_counts(one, problem.flows),
  )
  predictor = Predictor(description, parameters)
  _check_finite(predictor, problem.flows[np.asarray(one.train)[:_ASKED]], run)
  if validation:
    temperatures = _temperatures(predictor, problem.flows, validation)
    description = dataclasses.replace(description, temperatures=temperatures)
  return Trained(description, parameters, one)


def can_refit(run: Run, settings: Settings) -> bool:
  """Whether a tested model can be trained again on all flows, see `refit`.

  It must have been trained with all labels. And its epoch must not have been chosen, as
  it is for networks (methods that fit runs together): then no validation flows would be
  left to choose it.
  """
  return run.labels_per_class == ALL and not make_method(run, settings).fits_together


def refit(
  inputs: Inputs,
  run: Run,
  tested: Trained,
  *,
  progress: Progress = lambda fraction: None,
) -> Trained:
  """Trains a tested model again, on all flows to split, test flows included.

  Args:
    inputs: the flows.
    run: the run that was trained.
    tested: the tested model. The new one keeps its number of members, dividers and
      temperatures, because no flows are left to choose these.
    progress: called with the fraction that is done.
  """
  method, problem = inputs.problem(run)
  runs = _members(run, len(jax.tree.leaves(tested.parameters)[0]))
  draw = draws.with_all(inputs.table, tested.draw)
  keys = inputs.draw(runs).key
  parameters = _fit(method, problem, runs, draw, keys, progress=progress)
  counts = _class_counts(draw, problem.flows)
  description = dataclasses.replace(tested.description, class_counts=counts)
  return Trained(description, parameters, draw)


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
  """Fits members on one draw, each with a key of its own; returns their parameters."""
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
  """Raises an InputError if answers overflow, although each parameter is finite."""
  probabilities = jax.tree.leaves(predictor(flows).probabilities)
  if not all(np.isfinite(of_task).all() for of_task in probabilities):
    raise InputError(
      f"{run.method}, seed {run.seed}: its answers are not finite after the last "
      "epoch; take a smaller learning rate"
    )


class _Validation(NamedTuple):
  """The flows that choose the epoch and calibrate the members.

  Attributes:
    flows: `[V]`, indices of the flows.
    known: per task `[V]`, their targets; −1 = none, or hidden.
  """

  flows: np.ndarray
  known: dict[str, np.ndarray]


def _validation(flows: Flows, draw: Draw, held_back: np.ndarray) -> _Validation:
  """The validation flows, followed by the flows held back, whose class is hidden."""
  validation = np.asarray(draw.validation)
  both = np.concatenate([validation, held_back])
  known = {
    task: draws.truth(flows, draw, task)[both] for task in ("class", *draw.dividers)
  }
  known["class"][len(validation) :] = -1
  return _Validation(both, known)


def _score(method: Method, problem: Problem, validation: _Validation) -> Score:
  """Scores runs by accuracy on the validation flows, the mean over tasks.

  Likelihood breaks ties. Likelihood alone would choose an epoch before networks become
  overconfident, although the temperature corrects that.
  """
  num_flows = len(validation.flows)
  inputs = problem.inputs[validation.flows]
  shortest = getattr(method, "shortest_prefix", None)
  if shortest is not None:
    # Flows are cut to different numbers of packets, from the fewest to all.
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
  """Fits the temperature of each task, given a predictor with temperatures of 1."""
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
    shortest: the fewest packets after which the model answers.
    k: packets that the model reads.
  """
  # Rounded: otherwise 48 packets, computed as 47.999…, would become 47.
  return np.unique(np.geomspace(shortest, k, _PREFIXES).round().astype(int)).tolist()


def _class_counts(draw: Draw, flows: Flows) -> tuple[int, ...]:
  """The number of labelled training flows of each class."""
  _, classes = draw.labelled()
  return tuple(np.bincount(classes, minlength=len(flows.class_names)).tolist())


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
