"""Many runs in one program: the training of one run, mapped over R of them.

Whatever differs between runs (seed, split, labels, λ, dividers) is an array with R as
leading axis, so a sweep compiles once.
"""

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtl_traffic import training
from mtl_traffic.training import Assignment, Schedule

_QUERIES_AT_ONCE = 1024


def over_runs(function: Callable, together: int) -> Callable:
  """Maps a function over the leading axis of its arguments.

  Args:
    function: of one run.
    together: how many runs are vmapped; such groups go one after another.
  """
  # One at a time stays unbatched: a batch of one is a slower matrix product.
  size = None if together == 1 else together
  return lambda *args: jax.lax.map(lambda a: function(*a), args, batch_size=size)


def runs_together(num_runs: int) -> int:
  """How many of R runs to vmap where nobody said.

  On a CPU one run's matrix products occupy the cores, and one run's activations stay
  in the cache while many runs' do not; an accelerator wants all of them at once.
  """
  return 1 if jax.default_backend() == "cpu" else num_runs


def fit(
  assignments: Assignment,
  inputs: jax.Array,
  *,
  model: nn.Module,
  schedule: Schedule,
  steps_per_epoch: int,
  together: int | None = None,
  start: Mapping | None = None,
  score: Callable[[Mapping], jax.Array] | None = None,
  on_epoch: Callable[[], None] = lambda: None,
) -> Mapping:
  """Trains R runs.

  Args:
    assignments: what the runs learn; every array has R as leading axis.
    inputs: `[N, k, 2]`, all flows; shared by the runs.
    model: gives logits per task.
    schedule: epochs, batch size, optimiser.
    steps_per_epoch: steps an epoch.
    together: how many runs to vmap; by default what suits the device.
    start: parts of the network that start from these parameters, R as leading axis,
      instead of from random ones: `{"trunk": ...}`, say.
    score: gives the runs' variables marks `[R]` after each epoch, on validation flows
      say; each run then ends with those of its best epoch instead of its last.
    on_epoch: called whenever all runs have finished an epoch.

  Returns:
    The trained variables, R as leading axis.
  """
  num_runs = len(assignments.num_members)
  static = {
    "model": model,
    "schedule": schedule,
    "together": together or runs_together(num_runs),
  }
  states = _init(assignments.key, input_shape=inputs.shape[1:], **static)
  if start:
    states = states.replace(params={**states.params, **jax.tree.map(jnp.copy, start)})
  best = None
  for number in range(1, schedule.epochs + 1):
    states, _ = _train_epochs(
      states,
      jnp.array([number]),
      assignments,
      inputs,
      steps_per_epoch=steps_per_epoch,
      **static,
    )
    jax.block_until_ready(states)
    if score is not None:
      # The next epoch takes the states' memory, so what is kept is a copy.
      now = jax.tree.map(jnp.copy, (score(states.variables), states.variables))
      best = now if best is None else _better(best, now)
    on_epoch()
  return states.variables if best is None else best[1]


def predict(
  variables: Mapping,
  inputs: jax.Array,
  queries: jax.Array,
  *,
  model: nn.Module,
  together: int | None = None,
) -> dict[str, jax.Array]:
  """Logits of R trained runs.

  Args:
    variables: R as leading axis.
    inputs: `[N, k, 2]`, all flows.
    queries: `[R, Q]`, the flows that each run answers for.
    model: gives logits per task.
    together: how many runs to vmap; by default what suits the device.

  Returns:
    Per task `[R, Q, classes]`.
  """
  together = together or runs_together(len(queries))
  return _predict(variables, queries, inputs, model=model, together=together)


@jax.jit
def _better(best, now):
  is_better = now[0] > best[0]
  return jax.tree.map(
    lambda a, b: jnp.where(is_better.reshape(-1, *[1] * (a.ndim - 1)), a, b), now, best
  )


@functools.partial(
  jax.jit, static_argnames=("input_shape", "model", "schedule", "together")
)
def _init(keys, *, input_shape, model, schedule, together):
  def init(key):
    return training.init_state(key, input_shape, model=model, schedule=schedule)

  return over_runs(init, together)(keys)


@functools.partial(
  jax.jit,
  static_argnames=("model", "schedule", "steps_per_epoch", "together"),
  donate_argnames=("states",),
)
def _train_epochs(
  states, epochs, assignments, inputs, *, model, schedule, steps_per_epoch, together
):
  def run(state, assignment):
    return training.train_epochs(
      state,
      epochs,
      assignment,
      inputs,
      model=model,
      schedule=schedule,
      steps_per_epoch=steps_per_epoch,
    )

  return over_runs(run, together)(states, assignments)


@functools.partial(jax.jit, static_argnames=("model", "together"))
def _predict(variables, queries, inputs, *, model, together):
  def run(variables, queries):
    return jax.lax.map(
      lambda query: jax.tree.map(
        lambda logits: logits[0], model.apply(variables, inputs[query][None])
      ),
      queries,
      batch_size=_QUERIES_AT_ONCE,
    )

  return over_runs(run, together)(variables, queries)
