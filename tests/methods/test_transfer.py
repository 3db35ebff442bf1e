import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import sweeps
from mtl_traffic.methods.transfer import Transfer


@pytest.mark.parametrize(
  ("name", "kept"), [("transfer", True), ("transfer_fine_tuned", False)]
)
@pytest.mark.parametrize("shortest_prefix", [None, 8])
def test_a_frozen_trunk_stays_bit_identical(
  make, problem_of, draw, fit, monkeypatch, name, kept, shortest_prefix
):
  fitted = []
  fit_sweep = sweeps.fit

  def recording_fit(*arguments, **options):
    fitted.append(fit_sweep(*arguments, **options))
    return fitted[-1]

  monkeypatch.setattr(sweeps, "fit", recording_fit)
  method = make(name, epochs=2, shortest_prefix=shortest_prefix)
  after = fit(method, problem_of(method), draw(4))["params"]
  before = fitted[0]["params"]
  assert set(before) == {"trunk", "bandwidth_head", "duration_head"}
  assert set(after) == {"trunk", "class_head"}
  same = jax.tree.map(np.array_equal, before["trunk"], after["trunk"])
  assert all(jax.tree.leaves(same)) == kept


def test_features_computed_once_teach_the_head_the_same(
  make, problem_of, draw, fit, monkeypatch
):
  """Two runs of different budgets, whose labelled flows are padded to one number."""
  method = make("transfer", epochs=3)
  problem, drawn = problem_of(method), draw(3, 8)
  once = fit(method, problem, drawn)["params"]

  def through_the_trunk(self, problem, draws, hyperparameters, trunk, score, options):
    targets = {"class": draws.targets["class"]}
    options = {**options, "start": trunk, "frozen": ("trunk",)}
    return self.train(problem, draws, hyperparameters, targets=targets, **options)

  monkeypatch.setattr(Transfer, "_train_head", through_the_trunk)
  always = fit(method, problem, drawn)["params"]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), once, always
  )
  assert float(jnp.abs(once["class_head"]["bias"]).min()) > 0
