import numpy as np
import pytest
from scipy import stats

from mtl_traffic import evaluation


def test_accuracy_counts_only_samples_with_a_target():
  scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
  assert evaluation.accuracy(scores, np.array([0, 0, -1, 1])) == 2 / 3
  assert evaluation.accuracy(scores, np.full(4, -1)) is None


def test_interval_equals_scipys():
  values = np.array([0.91, 0.95, 0.90, 0.97])
  estimate = evaluation.mean_with_interval(values)
  low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
  np.testing.assert_allclose(
    [estimate.mean - estimate.half_width, estimate.mean + estimate.half_width],
    [low, high],
  )


def test_one_seed_has_no_interval_and_none_has_no_mean():
  one = evaluation.mean_with_interval(np.array([0.5]))
  assert one.mean == 0.5
  assert np.isnan(one.half_width)
  assert np.isnan(evaluation.mean_with_interval(np.array([])).mean)


def test_paired_difference_is_of_the_draws_in_both():
  ours = {0: 0.9, 1: 0.8, 2: 0.7, 9: 0.0}
  theirs = {2: 0.5, 0: 0.6, 1: 0.7, 7: 1.0}
  difference = evaluation.paired_difference(ours, theirs)
  low, high = stats.ttest_rel([0.9, 0.8, 0.7], [0.6, 0.7, 0.5]).confidence_interval()
  assert difference.num_seeds == 3
  np.testing.assert_allclose(difference.mean, 0.2)
  np.testing.assert_allclose(difference.mean - difference.half_width, low)
  np.testing.assert_allclose(difference.mean + difference.half_width, high)


def test_confusion_and_the_scores_of_each_class():
  scores = np.eye(3)[[0, 0, 1, 1, 1, 0]]
  counts = evaluation.confusion(scores, np.array([0, 0, 0, 1, -1, 2]))
  np.testing.assert_array_equal(counts, [[2, 1, 0], [0, 1, 0], [1, 0, 0]])
  of_class = evaluation.class_scores(counts)
  np.testing.assert_allclose(of_class.precision, [2 / 3, 1 / 2, np.nan])
  np.testing.assert_allclose(of_class.recall, [2 / 3, 1, 0])
  np.testing.assert_allclose(of_class.f1, [2 / 3, 2 / 3, 0])


@pytest.mark.parametrize(
  ("mean", "half_width", "verdict"),
  [
    (3.0, 1.0, "holds"),
    (3.0, 2.5, "not decided"),
    (0.0, 0.5, "does not hold"),
    (9.0, 0.5, "does not hold"),
    (7.9, 0.5, "not decided"),
    (3.0, np.nan, "not decided"),
    (np.nan, np.nan, "not decided"),
  ],
)
def test_a_claim_holds_where_the_whole_interval_lies_within(mean, half_width, verdict):
  estimate = evaluation.Estimate(mean, half_width, 5)
  assert evaluation.verdict(estimate, 1.0, 8.0) == verdict


def test_expected_calibration_error_by_hand():
  # Two bins of ten: at 0.75 half is right, at 0.95 all.
  probabilities = np.array([[0.75, 0.25], [0.75, 0.25], [0.95, 0.05], [0.95, 0.05]])
  targets = np.array([0, 1, 0, 0])
  error = evaluation.expected_calibration_error(probabilities, targets, num_bins=10)
  assert error == pytest.approx((2 * 0.25 + 2 * 0.05) / 4)


def test_calibration_is_of_the_flows_with_a_target():
  probabilities = np.array([[0.75, 0.25], [0.75, 0.25], [0.1, 0.9]])
  targets = np.array([0, 0, -1])
  error = evaluation.expected_calibration_error(probabilities, targets)
  assert error == pytest.approx(0.25)
  assert evaluation.expected_calibration_error(probabilities, np.full(3, -1)) is None


def test_accuracy_against_coverage():
  probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
  curve = evaluation.coverage(probabilities, np.array([1, 1, 0, -1]))
  np.testing.assert_allclose(curve.thresholds, [0.9, 0.8, 0.6])
  np.testing.assert_allclose(curve.coverages, [1 / 3, 2 / 3, 1])
  np.testing.assert_allclose(curve.accuracies, [1, 1, 2 / 3])
  assert curve.at(0.0) == (1.0, pytest.approx(2 / 3))
  assert curve.at(0.8) == (pytest.approx(2 / 3), 1.0)
  assert curve.at(0.95)[0] == 0 and np.isnan(curve.at(0.95)[1])


def test_coverage_of_no_flows_answers_nothing():
  curve = evaluation.coverage(np.zeros((2, 3)), np.full(2, -1))
  assert curve.at(0.0)[0] == 0 and np.isnan(curve.at(0.0)[1])
