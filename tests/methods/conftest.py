"""Studies and draws that the tests of the methods share."""

import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import draws, encoding
from mtl_traffic.study import Study
from mtl_traffic.training import Schedule


@pytest.fixture
def study(flows):
  return Study(
    flows=flows,
    inputs=encoding.encode(flows.packets, k=16),
    num_classes={"bandwidth": 3, "duration": 3, "class": 3},
    schedule=Schedule(epochs=15, batch_size=32, learning_rate=5e-3),
  )


@pytest.fixture
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
