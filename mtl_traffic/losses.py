"""The multi-task loss (section IV-D of the paper)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax


def masked_cross_entropy(
  logits: jax.Array, targets: jax.Array | np.ndarray
) -> jax.Array:
  """Cross entropy of each sample, `[B]`; masked samples have loss and gradient 0.

  Args:
    logits: `[B, C]`.
    targets: `[B]` int, −1 = masked. Or `[B, C]` class probabilities; their sum is the
      weight of the sample, so zeros mask it.

  Examples:
    >>> losses = masked_cross_entropy(jnp.zeros((2, 2)), jnp.array([1, -1]))
    >>> [round(float(loss), 2) for loss in losses]
    [0.69, 0.0]
  """
  if targets.ndim == logits.ndim:
    return optax.softmax_cross_entropy(logits, targets)
  known = targets >= 0
  losses = optax.softmax_cross_entropy_with_integer_labels(
    logits, jnp.where(known, targets, 0)
  )
  return jnp.where(known, losses, 0)


def multitask_loss(
  logits: Mapping[str, jax.Array],
  targets: Mapping[str, jax.Array | np.ndarray],
  weights: Mapping[str, jax.Array | float],
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """ℓ_B + ℓ_D + λ ℓ_T, the mean over a batch of the objective in section IV-D.

  The class loss of unlabelled flows is masked. The paper masks the input of the class
  layer instead; there the layer's bias still learns from unlabelled flows. The mean is
  over the whole batch, not only its labelled flows, so that a label has the same weight
  in every batch.

  Args:
    logits: per task `[B, classes]`.
    targets: per task `[B]` int, −1 = none.
    weights: per task its weight; λ for "class". Tasks without a weight are ignored.

  Returns:
    The loss, and the unweighted loss of each task.
  """
  parts = {
    task: jnp.mean(masked_cross_entropy(logits[task], targets[task]))
    for task in weights
  }
  loss = sum((weights[task] * parts[task] for task in weights), jnp.zeros(()))
  return loss, parts
