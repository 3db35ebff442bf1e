"""Transfer learning: bandwidth and duration first, then the class on top.

As the paper compares it (section V-B): a network is trained on the bandwidths and
durations of all training flows, its last layer is replaced, and it is trained again on
the labelled flows.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mtl_traffic import models, sweeps
from mtl_traffic.draws import Draw
from mtl_traffic.study import Study
from mtl_traffic.training import Assignment


def transfer(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  queries: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
) -> dict[str, jax.Array]:
  """Retrains the class head alone, on the frozen trunk.

  Args:
    study: what the runs share.
    draws: R draws.
    lambdas: `[R]`, ignored.
    queries: `[R, Q]` flows to answer for.
    on_epoch: called as often as `multitask` would.

  Returns:
    Logits of "class", `[R, Q, classes]`.
  """
  del lambdas
  return _transfer(study, draws, queries, on_epoch, frozen=("trunk",))


def transfer_fine_tuned(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  queries: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
) -> dict[str, jax.Array]:
  """As `transfer`, but the trunk is trained on the labelled flows too."""
  del lambdas
  return _transfer(study, draws, queries, on_epoch, frozen=())


def _transfer(study, draws, queries, on_epoch, frozen):
  num_runs, num_train = draws.train.shape
  source = {task: study.num_classes[task] for task in ("bandwidth", "duration")}
  one = jnp.ones(num_runs)
  fit = {
    "inputs": study.inputs,
    "steps_per_epoch": study.schedule.steps_per_epoch(num_train),
  }
  pretrained = sweeps.fit(
    Assignment(
      key=draws.key,
      members=draws.train,
      num_members=jnp.full(num_runs, num_train),
      targets={task: draws.targets[task] for task in source},
      weights={task: one for task in source},
    ),
    model=models.MultitaskCNN(models.heads_of(source), study.dtype),
    schedule=study.schedule,
    on_epoch=on_epoch,
    **fit,
  )
  target = {"class": study.num_classes["class"]}
  model = models.MultitaskCNN(models.heads_of(target), study.dtype)
  variables = sweeps.fit(
    Assignment(
      key=jax.vmap(lambda key: jax.random.fold_in(key, _SECOND_STAGE))(draws.key),
      members=draws.train,
      num_members=draws.num_labelled,
      targets={"class": draws.targets["class"]},
      weights={"class": one},
    ),
    model=model,
    schedule=dataclasses.replace(study.schedule, frozen=frozen),
    start={"trunk": pretrained["params"]["trunk"]},
    **fit,
  )
  return sweeps.predict(variables, study.inputs, queries, model=model)


_SECOND_STAGE = 2**31  # Beyond the number of any epoch.
