import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic.errors import InputError
from mtl_traffic.methods import cnn_rnn

MODEL = cnn_rnn.CNNRNN((("class", 5),))


def test_parameters_and_places():
  variables = MODEL.init(jax.random.key(0), jnp.zeros((1, 60, 2)))
  sizes = {
    name: sum(leaf.size for leaf in jax.tree.leaves(part))
    for name, part in variables["params"].items()
  }
  assert sizes == {
    "Convolution_0": 4 * 2 * 32 + 32,
    "BatchNorm_0": 2 * 32,
    "Convolution_1": 4 * 32 * 64 + 64,
    "BatchNorm_1": 2 * 64,
    "LSTM_0": (64 + 100) * 400 + 400,
    "Dense_0": 100 * 100 + 100,
    "class_head": 100 * 5 + 5,
  }


def test_lstm_equals_flax():
  x = jax.random.normal(jax.random.key(0), (3, 7, 4))
  ours = cnn_rnn.LSTM(5)
  params = ours.init(jax.random.key(1), x.T)["params"]
  cell = nn.OptimizedLSTMCell(5)
  kernels = jnp.split(params["Dense_0"]["kernel"], 4, axis=1)
  biases = jnp.split(params["Dense_0"]["bias"], 4)
  recurrent = jnp.split(params["recurrent"], 4, axis=1)
  theirs = {}
  for gate, kernel, bias, again in zip("ifgo", kernels, biases, recurrent, strict=True):
    theirs[f"i{gate}"] = {"kernel": kernel}
    theirs[f"h{gate}"] = {"kernel": again, "bias": bias}
  expected = nn.RNN(cell).apply({"params": {"cell": theirs}}, x)[:, -1]
  output = ours.apply({"params": params}, x.T)
  np.testing.assert_allclose(output.T, expected, atol=1e-6)
  np.testing.assert_array_equal(biases[1], np.ones(5))


def test_normalisation_is_by_the_batch_in_training_and_by_its_history_afterwards():
  x = 5 + 3 * jax.random.normal(jax.random.key(0), (8, 20, 2))
  variables = MODEL.init(jax.random.key(1), x)
  trained, changed = MODEL.apply(variables, x, train=True, mutable=["batch_stats"])
  assert not np.allclose(trained["class"], MODEL.apply(variables, x)["class"])
  history = changed["batch_stats"]["BatchNorm_0"]["mean"]
  assert np.abs(history).max() > 0


def test_too_few_packets_are_refused():
  MODEL.init(jax.random.key(0), jnp.zeros((1, 16, 2)))
  with pytest.raises(InputError, match="k = 15 packets are too few for cnn_rnn"):
    MODEL.init(jax.random.key(0), jnp.zeros((1, 15, 2)))
