import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import sweeps
from mtl_traffic.methods import transfer


@pytest.mark.parametrize(
  ("method", "kept"), [("transfer", True), ("transfer_fine_tuned", False)]
)
def test_a_frozen_trunk_stays_bit_identical(study, draw, monkeypatch, method, kept):
  fitted = []
  fit = sweeps.fit

  def recording_fit(*arguments, **options):
    fitted.append(fit(*arguments, **options))
    return fitted[-1]

  monkeypatch.setattr(sweeps, "fit", recording_fit)
  drawn = draw(4)
  getattr(transfer, method)(study, drawn, jnp.ones(1), drawn.test)
  before, after = (variables["params"] for variables in fitted)
  assert set(before) == {"trunk", "bandwidth_head", "duration_head"}
  assert set(after) == {"trunk", "class_head"}
  same = jax.tree.map(np.array_equal, before["trunk"], after["trunk"])
  assert all(jax.tree.leaves(same)) == kept
