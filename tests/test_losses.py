import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic import losses

LOGITS = {
  "bandwidth": jnp.array([[0.0, 0.0], [jnp.log(3.0), 0.0]]),
  "class": jnp.array([[0.0, jnp.log(4.0)], [0.0, 0.0]]),
}
TARGETS = {"bandwidth": jnp.array([0, 0]), "class": jnp.array([0, -1])}


def test_cross_entropy_by_hand():
  np.testing.assert_allclose(
    losses.masked_cross_entropy(LOGITS["class"], TARGETS["class"]),
    [np.log(5), 0],
    rtol=1e-6,
  )


def test_objective_by_hand():
  weights = {"bandwidth": 1.0, "class": 10.0}
  loss, parts = losses.multitask_loss(LOGITS, TARGETS, weights)
  bandwidth = (np.log(2) + np.log(4 / 3)) / 2
  of_class = np.log(5) / 2  # The mean is over the batch, labelled or not.
  np.testing.assert_allclose(parts["bandwidth"], bandwidth, rtol=1e-6)
  np.testing.assert_allclose(parts["class"], of_class, rtol=1e-6)
  np.testing.assert_allclose(loss, bandwidth + 10 * of_class, rtol=1e-6)


def test_gradient_is_softmax_minus_target_and_zero_where_masked():
  gradient = jax.grad(lambda x: losses.masked_cross_entropy(x, TARGETS["class"]).sum())(
    LOGITS["class"]
  )
  np.testing.assert_allclose(gradient, [[0.2 - 1, 0.8], [0, 0]], atol=1e-6)


def test_a_mask_equals_leaving_the_samples_out():
  key = jax.random.key(0)
  logits = jax.random.normal(key, (6, 4))
  targets = jnp.array([1, -1, 3, 0, -1, -1])
  known = np.asarray(targets) >= 0

  def total(logits, targets):
    return losses.masked_cross_entropy(logits, targets).sum()

  value, gradient = jax.value_and_grad(total)(logits, targets)
  alone, gradient_alone = jax.value_and_grad(total)(logits[known], targets[known])
  np.testing.assert_allclose(value, alone, rtol=1e-6)
  np.testing.assert_allclose(gradient[known], gradient_alone, rtol=1e-6)
  assert not np.asarray(gradient)[~known].any()


def test_a_task_without_weight_does_not_count():
  loss, parts = losses.multitask_loss(LOGITS, TARGETS, {"class": 1.0})
  assert list(parts) == ["class"]
  np.testing.assert_allclose(loss, parts["class"])


def test_probabilities_as_targets_by_hand():
  targets = jnp.array([[0.25, 0.75], [0.0, 0.0]])  # The second sample has none.
  losses_of = losses.masked_cross_entropy(LOGITS["class"], targets)
  expected = 0.25 * np.log(5) + 0.75 * np.log(5 / 4)
  np.testing.assert_allclose(losses_of, [expected, 0], rtol=1e-6)
  certain = losses.masked_cross_entropy(LOGITS["class"], jnp.eye(2)[jnp.array([0, 1])])
  named = losses.masked_cross_entropy(LOGITS["class"], jnp.array([0, 1]))
  np.testing.assert_allclose(certain, named, rtol=1e-6)
