import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import balancing

KEY = jax.random.key(0)
PARAMS = {"trunk": jnp.array([1.0, 2.0]), "head": jnp.array([3.0])}


def _losses(params):
  """Two tasks that pull the trunk apart; the second alone has the head."""
  x, y = params["trunk"]
  return jnp.stack([x**2 / 2 + y, -2 * x + params["head"][0] ** 2]), "other"


def _gradient(name, params=PARAMS, **options):
  return balancing.gradient(name, _losses, params, **options)


def test_the_sum_has_the_gradient_of_the_objective():
  gradient, other = _gradient("sum")
  np.testing.assert_allclose(gradient["trunk"], [1 - 2, 1])
  np.testing.assert_allclose(gradient["head"], [6])
  assert other == "other"


def test_uncertainty_by_hand():
  log_variances = jnp.log(jnp.array([2.0, 4.0]))
  losses, _ = _losses(PARAMS)
  np.testing.assert_allclose(losses, [2.5, 7])
  loss = balancing.uncertainty_weighted(losses, log_variances)
  np.testing.assert_allclose(loss, 2.5 / 2 + 7 / 4 + np.log(2) / 2 + np.log(4) / 2)
  gradient, _ = _gradient("uncertainty", PARAMS | {"log_variances": log_variances})
  np.testing.assert_allclose(gradient["trunk"], [1 / 2 - 2 / 4, 1 / 2])
  np.testing.assert_allclose(gradient["head"], [6 / 4])
  # A task whose loss is above its variance gets a larger one.
  np.testing.assert_allclose(gradient["log_variances"], [0.5 - 1.25, 0.5 - 1.75])


def test_pcgrad_takes_what_conflicts_out_of_the_trunk_alone():
  gradient, other = _gradient("pcgrad", key=KEY)
  # (1, 1) and (−2, 0) point apart: (0, 1) and (−1, 1) are left of them.
  np.testing.assert_allclose(gradient["trunk"], [-1, 2], rtol=1e-6)
  np.testing.assert_allclose(gradient["head"], [6])
  assert other == "other"


def test_gradients_that_agree_are_added():
  gradients = jnp.array([[1.0, 1.0], [1.0, 0.0], [0.0, 3.0]])
  np.testing.assert_allclose(balancing.without_conflicts(gradients, KEY), [2, 4])


def test_the_order_of_conflicting_tasks_is_random():
  gradients = jnp.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -2.0]])
  keys = jax.random.split(KEY, 20)
  sums = jax.vmap(balancing.without_conflicts, in_axes=(None, 0))(gradients, keys)
  assert len(np.unique(np.round(sums, 4), axis=0)) > 1


def test_a_task_without_gradient_changes_nothing():
  gradients = jnp.array([[1.0, 2.0], [0.0, 0.0]])
  np.testing.assert_allclose(balancing.without_conflicts(gradients, KEY), [1, 2])


def test_random_weights_are_one_on_average_and_weigh_the_losses():
  weights = jax.vmap(functools.partial(balancing.random_weights, num_tasks=3))(
    jax.random.split(KEY, 4000)
  )
  np.testing.assert_allclose(weights.sum(axis=1), 3, rtol=1e-5)
  np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.05)
  first, second = balancing.random_weights(KEY, 2)
  gradient, _ = _gradient("random", key=KEY)
  np.testing.assert_allclose(
    gradient["trunk"], [first - 2 * second, first], rtol=1e-5, atol=1e-6
  )


@pytest.mark.parametrize("name", balancing.BALANCINGS)
def test_only_uncertainty_has_parameters_of_its_own(name):
  expected = {"log_variances"} if name == "uncertainty" else set()
  assert set(balancing.parameters(name, 3)) == expected
