import numpy as np
import pytest

from mtl_traffic import calibration


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
  assert 1 < few < 1.3 < more < many
  assert many == pytest.approx(2, rel=0.05)


def test_flows_without_target_do_not_count():
  scores = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 9.0]])
  targets = np.array([0, 1, 1, -1])
  assert calibration.fit_temperature(scores, targets) == pytest.approx(
    calibration.fit_temperature(scores[:3], targets[:3])
  )
  assert calibration.fit_temperature(scores[3:], targets[3:]) == 1.0
  assert calibration.expected_calibration_error(scores[3:], targets[3:]) is None


def test_expected_calibration_error_by_hand():
  # Two bins of ten: at 0.75 half is right, at 0.95 all.
  probabilities = np.array([[0.75, 0.25], [0.75, 0.25], [0.95, 0.05], [0.95, 0.05]])
  targets = np.array([0, 1, 0, 0])
  error = calibration.expected_calibration_error(probabilities, targets, num_bins=10)
  assert error == pytest.approx((2 * 0.25 + 2 * 0.05) / 4)


def test_accuracy_against_coverage():
  probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
  curve = calibration.coverage(probabilities, np.array([1, 1, 0, -1]))
  np.testing.assert_allclose(curve.thresholds, [0.9, 0.8, 0.6])
  np.testing.assert_allclose(curve.accuracies, [1, 1, 2 / 3])
  assert curve.at(0.0) == (1.0, pytest.approx(2 / 3))
  assert curve.at(0.8) == (pytest.approx(2 / 3), 1.0)
  assert curve.at(0.95)[0] == 0 and np.isnan(curve.at(0.95)[1])
