"""Models with random parameters, for tests of what is done with trained ones."""

import jax
import jax.numpy as jnp

from mtl_traffic import checkpoints, models
from mtl_traffic.checkpoints import Description
from mtl_traffic.encoding import Encoding

NUM_CLASSES = {"bandwidth": 3, "duration": 2, "class": 3}


def make_model(k=8, num_networks=1, **changes):
  """A description, and variables."""
  model = models.MultitaskCNN(models.heads_of(NUM_CLASSES))
  description = Description(
    **{
      "method": "multitask",
      "k": k,
      "shortest_prefix": None,
      "min_packets": 1,
      "payload_lengths": False,
      "encoding": Encoding(settings=(("iat_range", (-1.0, 1.0)),)),
      **checkpoints.describe_network(model),
      "class_names": ("a", "b", "c"),
      "dividers": {"bandwidth": (300.0, 2e4), "duration": (2.5,)},
      "temperatures": {"bandwidth": 1.0, "duration": 0.5, "class": 2.0},
      **changes,
    }
  )
  keys = jax.random.split(jax.random.key(0), num_networks)
  variables = jax.vmap(lambda key: model.init(key, jnp.zeros((1, k, 2))))(keys)
  return description, {**variables, "batch_stats": {}}
