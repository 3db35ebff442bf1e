"""Ways to balance the losses of several tasks while a shared trunk learns them.

Every one starts from the losses after weighting, λ included:

- "sum": their sum, the objective in section IV-D of the paper.
- "uncertainty": each task's loss is divided by a variance, which is learnt (A. Kendall,
  Y. Gal, R. Cipolla, *Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
  Geometry and Semantics*, CVPR 2018).
- "pcgrad": where the gradients of two tasks conflict in the trunk, each loses the part
  that opposes the other (T. Yu et al., *Gradient Surgery for Multi-Task Learning*,
  NeurIPS 2020).
- "random": the weights of every step are random (B. Lin et al., *Reasonable
  Effectiveness of Random Weighting*, TMLR 2022). A balancing should do better than
  this one.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

BALANCINGS = ("sum", "uncertainty", "pcgrad", "random")
# The parameters of "uncertainty", beside the network's.
LOG_VARIANCES = "log_variances"

_TRUNK = "trunk"
_TINY = 1e-30

# The losses of T tasks `[T]`, of the parameters, and anything else.
Losses = Callable[[Mapping], tuple[jax.Array, Any]]


def parameters(balancing: str, num_tasks: int) -> dict[str, jax.Array]:
  """The parameters that a balancing adds to those of the network."""
  if balancing == "uncertainty":
    return {LOG_VARIANCES: jnp.zeros(num_tasks)}
  return {}


def gradient(
  balancing: str, losses: Losses, params: Mapping, key: jax.Array | None = None
) -> tuple[Mapping, Any]:
  """The gradient of the losses of several tasks, balanced.

  Args:
    balancing: one of `BALANCINGS`.
    losses: gives the losses `[T]`, weighted, and anything else.
    params: the network's parameters, with the part "trunk" if the balancing is
      "pcgrad", and those of `parameters`.
    key: random key of the step, for "pcgrad" and "random".

  Returns:
    The gradient, a pytree like `params`, and what else `losses` gives.
  """
  if balancing == "pcgrad":
    by_task, other = jax.jacrev(losses, has_aux=True)(params)
    total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), by_task)
    flat = jax.vmap(lambda tree: ravel_pytree(tree)[0])(by_task[_TRUNK])
    _, unravel = ravel_pytree(params[_TRUNK])
    return {**total, _TRUNK: unravel(without_conflicts(flat, key))}, other

  def loss(params: Mapping) -> tuple[jax.Array, Any]:
    values, other = losses(params)
    if balancing == "uncertainty":
      return uncertainty_weighted(values, params[LOG_VARIANCES]), other
    if balancing == "random":
      return random_weights(key, len(values)) @ values, other
    return jnp.sum(values), other

  return jax.grad(loss, has_aux=True)(params)


def uncertainty_weighted(losses: jax.Array, log_variances: jax.Array) -> jax.Array:
  """Σ ℓ / σ² + log σ, for cross entropies (Kendall et al., equation 10).

  Args:
    losses: `[T]`.
    log_variances: `[T]`, log σ² of each task.

  Examples:
    >>> float(uncertainty_weighted(jnp.array([2.0, 3.0]), jnp.zeros(2)))
    5.0
  """
  return jnp.sum(jnp.exp(-log_variances) * losses + log_variances / 2)


def random_weights(key: jax.Array, num_tasks: int) -> jax.Array:
  """Weights `[T]` of a step: a softmax of normal numbers, 1 on average."""
  return num_tasks * jax.nn.softmax(jax.random.normal(key, (num_tasks,)))


def without_conflicts(gradients: jax.Array, key: jax.Array) -> jax.Array:
  """The sum of the tasks' gradients without what conflicts (Yu et al., algorithm 1).

  From each task's gradient, the projection onto another task's is subtracted if the two
  point apart; the other tasks take their turns in random order.

  Args:
    gradients: `[T, P]`, of each task.
    key: random key.

  Returns:
    `[P]`.

  Examples:
    >>> gradients = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
    >>> [round(float(g), 2) for g in without_conflicts(gradients, jax.random.key(0))]
    [0.5, 1.5]
  """
  num_tasks = len(gradients)

  def of_task(task: jax.Array, key: jax.Array) -> jax.Array:
    def project(own: jax.Array, other: jax.Array) -> tuple[jax.Array, None]:
      against = gradients[other]
      product = own @ against
      share = product / jnp.maximum(against @ against, _TINY)
      return own - jnp.where((other != task) & (product < 0), share, 0) * against, None

    own, _ = jax.lax.scan(
      project, gradients[task], jax.random.permutation(key, num_tasks)
    )
    return own

  keys = jax.random.split(key, num_tasks)
  return jnp.sum(jax.vmap(of_task)(jnp.arange(num_tasks), keys), axis=0)
