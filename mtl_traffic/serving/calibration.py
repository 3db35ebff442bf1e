"""Temperature scaling, which calibrates probabilities.

C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks",
ICML 2017.
"""

import numpy as np
from scipy import optimize, special

_LARGEST_LOG_TEMPERATURE = 4.0
# Standard deviation of the prior on log T. Where few validation flows are wrong, as of
# the forests on QUIC, T is about 0.5, and a narrow prior would keep it near 1.
_PRIOR_DEVIATION = 0.4
_LEAST_DOUBT = 1e-12  # Keeps the loss of a single wrong answer finite.


def fit_temperature(scores: np.ndarray, targets: np.ndarray) -> float:
  """Fits T so that the confidences of `softmax(scores / T)` match the accuracy.

  A confidence is the probability of the most probable class. T maximises the posterior
  of which answers are correct, with a normal prior on log T around 0. So few flows move
  T only a little away from 1.

  The likelihood of the targets is not used: there, a few flows with extreme scores
  would make all other answers underconfident.

  Args:
    scores: `[N, C]` logits or log probabilities of validation flows.
    targets: `[N]` int; flows of −1 do not count.

  Returns:
    T; 1 if no flow counts.
  """
  counted = targets >= 0
  scores = np.asarray(scores, np.float64)[counted]
  targets = np.asarray(targets)[counted]
  if not len(targets):
    return 1.0

  is_right = np.argmax(scores, axis=-1) == targets

  def loss(log_temperature: float) -> float:
    scaled = special.log_softmax(scores / np.exp(log_temperature), axis=-1)
    log_confidence = np.minimum(np.max(scaled, axis=-1), -_LEAST_DOUBT)
    log_doubt = np.log(-np.expm1(log_confidence))
    prior = (log_temperature / _PRIOR_DEVIATION) ** 2 / 2
    return prior - float(np.sum(np.where(is_right, log_confidence, log_doubt)))

  bounds = (-_LARGEST_LOG_TEMPERATURE, _LARGEST_LOG_TEMPERATURE)
  return float(np.exp(optimize.minimize_scalar(loss, bounds=bounds).x))
