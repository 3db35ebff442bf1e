"""Flows, problems and draws that the tests of the methods share."""

import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import draws, inputs, methods
from mtl_traffic.methods.base import Problem

# How long networks train.
SHORT = {"epochs": 16, "least_steps": 0, "batch_size": 32}
HYPERPARAMETERS = {"lambda_": 30.0, "learning_rate": 5e-3, "clip_norm": 1.0}


@pytest.fixture(scope="session")
def flows(flow_maker):
  return flow_maker(num_packets=24)


@pytest.fixture(scope="session")
def problem_of(flows):
  """The problem of a method on the first 16 packets of flows."""

  def problem_of(method, flows=flows):
    return Problem(
      flows=flows,
      inputs=inputs.read(method, flows, 16),
      num_classes={"bandwidth": 3, "duration": 3, "class": 3},
    )

  return problem_of


@pytest.fixture(scope="session")
def draw(flows):
  """Draws of as many runs as there are label budgets."""

  def draw(*labels):
    return draws.draw_many(
      draws.flow_table(flows, np.ones(len(flows), bool)),
      jnp.arange(len(labels)),
      jnp.array(labels),
      test_per_class=6,
      validation_per_class=3,
    )

  return draw


@pytest.fixture(scope="session")
def uneven_draw(flows):
  """Draws of two runs in whole groups: padded, and of a class with a flow or two."""
  kept = np.flatnonzero((flows.classes != 2) | (np.arange(len(flows)) < 6))
  eligible = np.isin(np.arange(len(flows)), kept)
  table = draws.flow_table(flows, eligible, groups=np.arange(len(flows)) // 3 % 13)
  return draws.draw_many(
    table,
    jnp.arange(2),
    jnp.array([3, draws.ALL_LABELS]),
    test_per_class=0.3,
    validation_per_class=0.2,
  )


@pytest.fixture(scope="session")
def make():
  """A method by name; a short one if it is a network."""

  def make(name, **settings):
    return methods.make(name, {**SHORT, **settings})

  return make


@pytest.fixture(scope="session")
def fit():
  """Parameters of the runs of draws."""

  def fit(method, problem, drawn, hyperparameters=None, **options):
    chosen = HYPERPARAMETERS | (hyperparameters or {})
    runs = {
      name: jnp.full(len(drawn.train), chosen[name]) for name in method.hyperparameters
    }
    return method.fit(problem, drawn, runs, **options)

  return fit
