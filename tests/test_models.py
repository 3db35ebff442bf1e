import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import losses, models
from mtl_traffic.errors import InputError

HEADS = (("bandwidth", 5), ("duration", 4), ("class", 3))


def _params(k: int):
  model = models.MultitaskCNN(HEADS)
  return model.init(jax.random.key(0), jnp.zeros((1, k, 2)))["params"]


def _assert_equal_in_values_and_gradients(ours, theirs, x):
  """Ours has the features first, and its input as well."""
  params = theirs.init(jax.random.key(1), x)
  params = jax.tree.map(lambda p: p + 0.1, params)  # A bias other than zero.
  np.testing.assert_allclose(
    ours.apply(params, x.T).T, theirs.apply(params, x), rtol=1e-5, atol=1e-5
  )

  def loss(params, x):
    return jnp.sum(jnp.sin(theirs.apply(params, x)))

  def our_loss(params, x):
    return jnp.sum(jnp.sin(ours.apply(params, x.T)))

  gradients = [jax.grad(function, (0, 1))(params, x) for function in (our_loss, loss)]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *gradients
  )


def test_convolution_equals_flax():
  _assert_equal_in_values_and_gradients(
    models.Convolution(8),
    nn.Conv(8, (3,), padding="VALID"),
    jax.random.normal(jax.random.key(0), (4, 11, 3)),
  )


def test_dense_equals_flax():
  _assert_equal_in_values_and_gradients(
    models.Dense(8), nn.Dense(8), jax.random.normal(jax.random.key(0), (4, 11))
  )


@pytest.mark.parametrize("length", [6, 7])
@pytest.mark.parametrize("size", [2, 3])
def test_max_pool_equals_flax(length, size):
  x = jax.random.normal(jax.random.key(0), (2, length, 3))
  np.testing.assert_array_equal(
    models.max_pool(x.T, size).T, nn.max_pool(x, (size,), strides=(2,))
  )


def test_parameters_are_those_of_table_ii():
  convolutions = [(2, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
  expected = sum(3 * c * f + f for c, f in convolutions)
  # 60 packets: 60-58-56 / 28-26-24 / 12-10-8 / 4 places of 128 filters.
  expected += (4 * 128) * 256 + 256 + 256 * 256 + 256
  expected += sum(256 * classes + classes for _, classes in HEADS)
  assert sum(p.size for p in jax.tree.leaves(_params(60))) == expected


@pytest.mark.parametrize(
  ("k", "convolutions"),
  [(120, 6), (60, 6), (46, 6), (45, 5), (30, 5), (28, 5), (27, 4), (15, 3), (6, 2)],
)
def test_a_convolution_fewer_for_few_packets(k, convolutions):
  trunk = _params(k)["trunk"]
  assert sum(name.startswith("Convolution") for name in trunk) == convolutions
  assert all(leaf.size for leaf in jax.tree.leaves(trunk))


def test_too_few_packets_are_refused():
  with pytest.raises(InputError, match="k = 5 packets are too few"):
    models.convolutions_per_block(5)


def test_logits_of_each_task_in_float32_whatever_is_computed_in():
  model = models.MultitaskCNN(HEADS, dtype=jnp.bfloat16)
  params = model.init(jax.random.key(0), jnp.zeros((1, 60, 2)))
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
  inputs = jax.random.normal(jax.random.key(1), (7, 60, 2))
  logits = model.apply(params, inputs)
  assert {task: x.shape for task, x in logits.items()} == {
    "bandwidth": (7, 5),
    "duration": (7, 4),
    "class": (7, 3),
  }
  exact = models.MultitaskCNN(HEADS).apply(params, inputs)
  for task in logits:
    assert logits[task].dtype == jnp.float32
    np.testing.assert_allclose(logits[task], exact[task], atol=0.05)
    assert not np.array_equal(logits[task], exact[task])


def test_mapping_over_weights_makes_no_grouped_convolution():
  model = models.MultitaskCNN(HEADS)
  params = jax.vmap(lambda key: model.init(key, jnp.zeros((1, 60, 2))))(
    jax.random.split(jax.random.key(0), 2)
  )
  mapped = jax.vmap(model.apply, in_axes=(0, None))
  text = jax.jit(mapped).lower(params, jnp.zeros((3, 60, 2))).as_text()
  assert "stablehlo.convolution" not in text
  assert "stablehlo.dot_general" in text


def test_a_mask_on_the_features_is_a_loss_of_the_masked_logits():
  # The authors' way, by hand: the class head reads features times the mask, and every
  # flow has a class loss.
  heads = (("bandwidth", 4), ("class", 3))
  model = models.MultitaskCNN(heads, masked_logits=True)
  keys = jax.random.split(jax.random.key(3), 3)
  inputs = jax.random.normal(keys[0], (6, 16, 2))
  classes = jnp.array([0, 1, 2, 2, 1, 2])
  labelled = jnp.array([True, False, True, False, False, False])
  variables = model.init(keys[1], inputs)
  variables["params"]["class_head"]["bias"] = jax.random.normal(keys[2], (3,))

  def theirs(variables):
    features = models.Trunk().apply({"params": variables["params"]["trunk"]}, inputs)
    head = variables["params"]["class_head"]
    logits = (features * labelled[:, None]) @ head["kernel"] + head["bias"]
    return losses.multitask_loss({"c": logits}, {"c": classes}, {"c": 2.0})[0]

  def ours(variables):
    targets = {
      "class": jnp.where(labelled, classes, -1),
      "masked_class": jnp.where(labelled, -1, classes),
    }
    weights = {"class": 2.0, "masked_class": 2.0}
    return losses.multitask_loss(model.apply(variables, inputs), targets, weights)[0]

  values, gradients = zip(
    *(jax.value_and_grad(loss)(variables) for loss in (ours, theirs)), strict=True
  )
  np.testing.assert_allclose(*values, rtol=1e-6)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *gradients)
