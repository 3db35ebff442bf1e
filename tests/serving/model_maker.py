"""Models with random parameters, for tests of what is done with trained ones."""

import dataclasses

import jax
import jax.numpy as jnp

from mtl_traffic import methods
from mtl_traffic.data.captures import DEFAULT_RULES
from mtl_traffic.serving.checkpoints import Description

NUM_CLASSES = {"bandwidth": 3, "duration": 2, "class": 3}
DIVIDERS = {"bandwidth": (300.0, 2e4), "duration": (2.5,)}
TEMPERATURES = {"bandwidth": 1.0, "duration": 0.5, "class": 2.0}


def make_model(k=8, num_members=1, method="multitask", rules=None, **settings):
  """A description, and the parameters of the members of an ensemble.

  Args:
    k: packets that the model reads.
    num_members: those of the ensemble.
    method: a method that trains one network for all tasks.
    rules: of the flows, where they are not the default ones.
    **settings: of the method; or fields of the description.
  """
  fields = {field.name for field in dataclasses.fields(Description)}
  others = {name: settings.pop(name) for name in list(settings) if name in fields}
  made = methods.make(method, {"iat_range": (-1.0, 1.0), **settings})
  description = Description(
    **{
      "method": method,
      "settings": dataclasses.asdict(made),
      "k": k,
      "min_packets": 1,
      "rules": {**DEFAULT_RULES.shared, **(rules or {})},
      "class_names": ("a", "b", "c"),
      "dividers": {task: DIVIDERS[task] for task in made.answered if task in DIVIDERS},
      "temperatures": {task: TEMPERATURES[task] for task in made.answered},
      **others,
    }
  )
  network = made.network({task: NUM_CLASSES[task] for task in made.answered})
  keys = jax.random.split(jax.random.key(0), num_members)
  return description, jax.vmap(lambda key: network.init(key, jnp.zeros((1, k, 2))))(
    keys
  )
