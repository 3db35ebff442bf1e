"""The baseline without other tasks: the same trunk, learning the class alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mtl_traffic import models, sweeps
from mtl_traffic.draws import Draw
from mtl_traffic.study import Study
from mtl_traffic.training import Assignment


def single_task(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  queries: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
) -> dict[str, jax.Array]:
  """Trains R networks on the labelled flows alone, for the class alone.

  Every batch is full of labelled flows and there are as many steps as `multitask`
  takes, so the network converges and the comparison does not flatter the other side.

  Args:
    study: what the runs share.
    draws: R draws.
    lambdas: `[R]`, ignored: with one task its weight means nothing.
    queries: `[R, Q]` flows to answer for.
    on_epoch: called whenever all runs have finished an epoch.

  Returns:
    Logits of "class", `[R, Q, classes]`.
  """
  del lambdas
  num_runs, num_train = draws.train.shape
  heads = models.heads_of({"class": study.num_classes["class"]})
  model = models.MultitaskCNN(heads, study.dtype)
  variables = sweeps.fit(
    Assignment(
      key=draws.key,
      members=draws.train,
      num_members=draws.num_labelled,
      targets={"class": draws.targets["class"]},
      weights={"class": jnp.ones(num_runs)},
    ),
    study.inputs,
    model=model,
    schedule=study.schedule,
    steps_per_epoch=study.schedule.steps_per_epoch(num_train),
    on_epoch=on_epoch,
  )
  return sweeps.predict(variables, study.inputs, queries, model=model)
