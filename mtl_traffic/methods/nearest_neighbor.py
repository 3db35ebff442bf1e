"""The floor that any network must clear: the label of the most similar flow."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mtl_traffic.draws import Draw
from mtl_traffic.study import Study

_NUM_PACKETS = 10


def nearest_neighbor(
  study: Study,
  draws: Draw,
  lambdas: jax.Array,
  queries: jax.Array,
  on_epoch: Callable[[], None] = lambda: None,
) -> dict[str, jax.Array]:
  """Takes the class of the labelled flow whose first ten lengths are closest.

  The distance is L1 on direction × length. No weights, no training.

  Args:
    study: what the runs share.
    draws: R draws.
    lambdas: `[R]`, ignored.
    queries: `[R, Q]` flows to answer for.
    on_epoch: ignored.

  Returns:
    For "class" minus the distance to the closest flow of each class, `[R, Q, classes]`.
  """
  del lambdas, on_epoch
  lengths = study.inputs[:, :_NUM_PACKETS, 1]
  return {"class": _scores(lengths, draws, queries, study.num_classes["class"])}


@functools.partial(jax.jit, static_argnames="num_classes")
def _scores(lengths, draws, queries, num_classes):
  def one_run(run: tuple[Draw, jax.Array]) -> jax.Array:
    draw, queries = run
    train = lengths[draw.train]
    label = draw.targets["class"][draw.train]

    def one_flow(query: jax.Array) -> jax.Array:
      distances = jnp.sum(jnp.abs(train - lengths[query]), axis=1)
      of_class = label == jnp.arange(num_classes)[:, None]
      return -jnp.min(jnp.where(of_class, distances, jnp.inf), axis=1)

    return jax.lax.map(one_flow, queries)

  return jax.lax.map(one_run, (draws, queries))
