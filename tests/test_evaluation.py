import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

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


def test_expected_calibration_error_by_hand():
  # Two of ten bins have flows: at 0.75 half are right, at 0.95 all.
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
  is_right = np.array([False, True, True])
  curve = evaluation.coverage(np.array([0.6, 0.9, 0.8]), is_right, 3)
  np.testing.assert_allclose(curve.thresholds, [0.9, 0.8, 0.6])
  np.testing.assert_allclose(curve.coverages, [1 / 3, 2 / 3, 1])
  np.testing.assert_allclose(curve.accuracies, [1, 1, 2 / 3])
  assert curve.at(0.0) == (1.0, pytest.approx(2 / 3))
  assert curve.at(0.8) == (pytest.approx(2 / 3), 1.0)
  assert curve.at(0.95)[0] == 0 and np.isnan(curve.at(0.95)[1])


def test_coverage_of_no_flows_answers_nothing():
  curve = evaluation.coverage(np.zeros(0), np.zeros(0, bool), 0)
  assert curve.at(0.0)[0] == 0 and np.isnan(curve.at(0.0)[1])


# Class 0 has 10 flows and class 1 has 2. Class 2 has none but is predicted; class 3 has
# none and is never predicted.
UNEVEN = np.array([[8, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def _drawn_out(counts):
  """True classes and answers of single flows that have these counts."""
  places = np.repeat(np.arange(counts.size), counts.ravel())
  return np.divmod(places, counts.shape[1])


def test_what_is_fair_to_small_classes_by_hand():
  # Recalls are 8/10 and 1/2; F1 are 16/19, 2/4 and 0, because class 2 is predicted.
  assert evaluation.balanced_accuracy(UNEVEN) == pytest.approx(0.65)
  assert evaluation.macro_f1(UNEVEN) == pytest.approx((16 / 19 + 1 / 2 + 0) / 3)
  nothing = np.zeros((3, 3), int)
  assert evaluation.macro_f1(nothing) is evaluation.balanced_accuracy(nothing) is None


def test_weighted_f1_counts_a_class_by_its_flows():
  # F1 of 4/5 for three flows, of 2/3 for one, and none for a class without flows.
  counts = np.array([[2, 1, 0], [0, 1, 0], [0, 0, 0]])
  assert evaluation.weighted_f1(counts) == pytest.approx((3 * 4 / 5 + 2 / 3) / 4)
  assert evaluation.weighted_f1(np.zeros((3, 3), int)) is None


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_what_is_fair_to_small_classes_is_scikit_learns():
  rng = np.random.default_rng(0)
  for counts in (UNEVEN, *rng.poisson(rng.exponential(2, (20, 6, 6)))):
    truth, answers = _drawn_out(counts)
    f1 = metrics.f1_score(truth, answers, average="macro", zero_division=0)
    balanced = metrics.balanced_accuracy_score(truth, answers)
    assert evaluation.macro_f1(counts) == pytest.approx(f1)
    weighted = metrics.f1_score(truth, answers, average="weighted", zero_division=0)
    assert evaluation.weighted_f1(counts) == pytest.approx(weighted)
    assert evaluation.balanced_accuracy(counts) == pytest.approx(balanced)


def test_answers_that_are_no_class_are_not_right_and_no_class():
  # Two of four flows of class 0 are unknown.
  counts = np.array([[2, 0, 2], [0, 3, 0]])
  of_class = evaluation.class_scores(counts)
  np.testing.assert_allclose(of_class.recall, [0.5, 1])
  np.testing.assert_allclose(of_class.precision, [1, 1])
  assert evaluation.macro_f1(counts) == pytest.approx((2 / 3 + 1) / 2)
  assert evaluation.balanced_accuracy(counts) == pytest.approx(0.75)


def test_votes_are_shared_out_and_the_unknown_have_none():
  groups = np.array([0, 0, 1, 1, 2, 2, 3])
  votes = np.zeros((7, 3))
  votes[0], votes[1] = [0.5, 0.4, 0.1], [0.1, 0.4, 0.5]
  votes[2, 0] = votes[3, 1] = 0.5
  votes[5, 1] = 0.1
  # The groups: both flows' second choice; a tie; a single vote; no vote.
  assert evaluation.vote(groups, votes, 5).tolist() == [1, 0, 1, -1, -1]


def test_reliability_by_hand():
  found = evaluation.reliability(
    np.array([0.1, 0.6, 0.7, 1.0]), np.array([False, True, False, True]), num_bins=2
  )
  assert found.counts.tolist() == [1, 3]
  np.testing.assert_allclose(found.confidences, [0.1, 2.3 / 3])
  np.testing.assert_allclose(found.accuracies, [0, 2 / 3])
  assert found.error == pytest.approx((0.1 + 0.3) / 4)
  assert evaluation.reliability(np.zeros(0), np.zeros(0, bool)).error is None


def test_flows_without_answer_bound_the_coverage():
  curve = evaluation.coverage(np.array([0.5, 0.9]), np.array([True, False]), 4)
  np.testing.assert_allclose(curve.coverages, [0.25, 0.5])
  np.testing.assert_allclose(curve.accuracies, [0, 0.5])


def test_detection_by_hand():
  # Of the six pairs, one is in the wrong order and one is a tie.
  found = evaluation.detection(np.array([0.9, 0.5, 0.2]), np.array([0.1, 0.5]))
  assert found.auroc == pytest.approx((2 + 1.5 + 1) / 6)
  # Only a threshold of 0.9 is above both unknown flows; 0.5 and 0.2 are above one.
  assert found.kept == pytest.approx(1 / 3)
  found = evaluation.detection(
    np.array([0.9, 0.5, 0.2]), np.array([0.1, 0.5]), caught=0.5
  )
  assert found.kept == 1
  assert np.isnan(evaluation.detection(np.zeros(0), np.ones(2))).all()
  assert np.isnan(evaluation.detection(np.ones(2), np.zeros(0))).all()


def _mean_of(values):
  return lambda drawn: np.array([drawn @ values / drawn.sum()])


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says():
  values = np.random.default_rng(1).normal(size=400)
  ((low, high),) = evaluation.bootstrap(_mean_of(values), np.ones(400), seed=3)
  half_width = 1.96 * values.std() / 20
  assert low == pytest.approx(values.mean() - half_width, abs=0.015)
  assert high == pytest.approx(values.mean() + half_width, abs=0.015)


def test_alike_units_may_be_counted_together():
  # 60 of 200 are right, given as two kinds of units and as single units.
  two = evaluation.bootstrap(_mean_of(np.array([1, 0])), np.array([60, 140]))
  each = evaluation.bootstrap(_mean_of(np.repeat([1, 0], [60, 140])), np.ones(200))
  np.testing.assert_allclose(two, each, atol=0.015)
  np.testing.assert_allclose(two, [[0.2365, 0.3635]], atol=0.015)


def test_the_bootstrap_follows_from_its_seed():
  statistic = _mean_of(np.arange(9.0))
  first, again, other = (
    evaluation.bootstrap(statistic, np.ones(9), seed=seed) for seed in (5, 5, 6)
  )
  np.testing.assert_array_equal(first, again)
  assert (first != other).all()


def test_one_unit_has_no_interval_and_samples_without_a_value_do_not_count():
  one = evaluation.bootstrap(_mean_of(np.array([0.5])), np.ones(1))
  assert np.isnan(one).all() and one.shape == (1, 2)

  def of_the_first(drawn):
    return np.array([1.0 if drawn[0] else np.nan, np.nan])

  known, never = evaluation.bootstrap(of_the_first, np.ones(2))
  assert known.tolist() == [1, 1] and np.isnan(never).all()
