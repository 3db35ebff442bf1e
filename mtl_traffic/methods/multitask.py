"""The paper's method: one trunk trained on bandwidth, duration and class at once."""

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtl_traffic import models, sweeps
from mtl_traffic.draws import Draw
from mtl_traffic.study import Study
from mtl_traffic.training import Assignment


def train(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
  score: Callable[[nn.Module, Mapping], jax.Array] | None = None,
) -> tuple[nn.Module, Mapping]:
  """Trains R multi-task networks on all training flows (section IV-D).

  Bandwidth and duration (or the study's other tasks) are learnt from every training
  flow, the class from the labelled ones, weighted by λ.

  Args:
    study: what the runs share.
    draws: R draws.
    lambdas: `[R]` weight of the class task.
    on_epoch: called whenever all runs have finished an epoch.
    score: marks `[R]` of a model's variables, by which each run's best epoch is
      chosen; see `sweeps.fit`.

  Returns:
    The network, and its trained variables, R as leading axis.
  """
  num_runs, num_train = draws.train.shape
  masks_features = study.mask == "features"
  targets = draws.targets
  weights = {task: jnp.ones(num_runs) for task in study.tasks} | {"class": lambdas}
  if masks_features:
    # A masked flow keeps its class loss, of the head's bias against its true class.
    masked = jnp.where(targets["class"] < 0, jnp.asarray(study.flows.classes), -1)
    targets = targets | {"masked_class": masked}
    weights = weights | {"masked_class": lambdas}
  heads = {task: study.num_classes[task] for task in (*study.tasks, "class")}
  model = models.MultitaskCNN(models.heads_of(heads), study.dtype, masks_features)
  variables = sweeps.fit(
    Assignment(
      key=draws.key,
      members=draws.train,
      num_members=jnp.full(num_runs, num_train),
      targets=targets,
      weights=weights,
    ),
    study.inputs,
    model=model,
    schedule=study.schedule,
    steps_per_epoch=study.schedule.steps_per_epoch(num_train),
    score=score and functools.partial(score, model),
    on_epoch=on_epoch,
  )
  # What a mask leaves of the class is of no use once it is trained.
  return model.clone(masked_logits=False), variables


def multitask(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  queries: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
) -> dict[str, jax.Array]:
  """Trains R networks as `train` does, and answers.

  Args:
    study: what the runs share.
    draws: R draws.
    lambdas: `[R]` weight of the class task.
    queries: `[R, Q]` flows to answer for.
    on_epoch: called whenever all runs have finished an epoch.

  Returns:
    Logits of each task and of "class", `[R, Q, classes]`.
  """
  model, variables = train(study, draws, lambdas, on_epoch)
  return sweeps.predict(variables, study.inputs, queries, model=model)
