import jax
import numpy as np
import pytest

from mtl_traffic import sweeps


@pytest.mark.parametrize(
  ("name", "kept"), [("transfer", True), ("transfer_fine_tuned", False)]
)
def test_a_frozen_trunk_stays_bit_identical(
  make, problem_of, draw, fit, monkeypatch, name, kept
):
  fitted = []
  fit_sweep = sweeps.fit

  def recording_fit(*arguments, **options):
    fitted.append(fit_sweep(*arguments, **options))
    return fitted[-1]

  monkeypatch.setattr(sweeps, "fit", recording_fit)
  method = make(name, epochs=2)
  fit(method, problem_of(method), draw(4))
  before, after = (variables["params"] for variables in fitted)
  assert set(before) == {"trunk", "bandwidth_head", "duration_head"}
  assert set(after) == {"trunk", "class_head"}
  same = jax.tree.map(np.array_equal, before["trunk"], after["trunk"])
  assert all(jax.tree.leaves(same)) == kept
