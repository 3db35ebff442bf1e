import numpy as np
import pytest

from mtl_traffic.serving import calibration


def test_temperature_is_that_which_the_scores_were_divided_by():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(20_000, 4)) * 2
  noise = rng.gumbel(size=logits.shape)
  targets = np.argmax(logits + noise, axis=-1)  # Drawn from softmax(logits).
  assert calibration.fit_temperature(logits * 3, targets) == pytest.approx(3, rel=0.05)
  log_probabilities = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
  assert calibration.fit_temperature(log_probabilities, targets) == pytest.approx(
    calibration.fit_temperature(logits, targets), rel=1e-4
  )


def test_few_flows_move_the_temperature_little():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(20_000, 4)) * 2
  targets = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)
  few, more, many = (
    calibration.fit_temperature(logits[:n] * 2, targets[:n]) for n in (20, 200, 20_000)
  )
  assert 1 < few < 1.5 < more < many
  assert many == pytest.approx(2, rel=0.05)


def test_flows_without_target_do_not_count():
  scores = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 9.0]])
  targets = np.array([0, 1, 1, -1])
  assert calibration.fit_temperature(scores, targets) == pytest.approx(
    calibration.fit_temperature(scores[:3], targets[:3])
  )
  assert calibration.fit_temperature(scores[3:], targets[3:]) == 1.0
