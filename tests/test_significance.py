import numpy as np
import pytest
from scipy import stats

from mtl_traffic import significance
from mtl_traffic.evaluation import Estimate, mean_with_interval


@pytest.mark.parametrize(
  ("mean", "half_width", "verdict"),
  [
    (3.0, 1.0, "holds"),
    (3.0, 2.5, "inconclusive"),
    (0.0, 0.5, "does not hold"),
    (9.0, 0.5, "does not hold"),
    (7.9, 0.5, "inconclusive"),
    (3.0, np.nan, "inconclusive"),
    (np.nan, np.nan, "inconclusive"),
  ],
)
def test_a_claim_holds_where_the_whole_interval_lies_within(mean, half_width, verdict):
  estimate = Estimate(mean, half_width, 5)
  assert significance.verdict(estimate, 1.0, 8.0) == verdict


def test_a_claim_is_decided_where_its_p_is_below_5_percent():
  random = np.random.default_rng(0)
  seen = set()
  for _ in range(300):
    value = mean_with_interval(random.normal(random.uniform(-3, 3), 1, 6))
    p = significance.p_value(value, -1.0, 2.0)
    verdict = significance.verdict(value, -1.0, 2.0)
    assert (p < 0.05) == (verdict != "inconclusive")
    seen.add(verdict)
  assert len(seen) == 3


def test_p_is_that_of_a_t_test_against_the_nearest_limit():
  values = np.array([1.0, 2.0, 2.5, 4.0])
  p = significance.p_value(mean_with_interval(values), 1.5, np.inf)
  assert p == pytest.approx(stats.ttest_1samp(values, 1.5).pvalue)


@pytest.mark.parametrize(
  ("value", "p"),
  [
    (Estimate(3.0, np.nan, 1), 1.0),
    (Estimate(np.nan, np.nan, 0), 1.0),
    (Estimate(3.0, 0.0, 5), 0.0),
    (Estimate(1.0, 0.0, 5), 0.0),  # The limit itself counts as outside.
  ],
)
def test_p_of_what_has_no_spread(value, p):
  assert significance.p_value(value, 1.0, np.inf) == p


def test_holm_by_hand():
  # 0.01 × 4; 0.02 × 3; 0.03 × 2, which equals the one before; 0.5 × 1.
  np.testing.assert_allclose(
    significance.holm([0.5, 0.01, 0.03, 0.02]), [0.5, 0.04, 0.06, 0.06]
  )
  assert significance.holm([0.9, 0.8]) == [1.0, 1.0]
  assert significance.holm([]) == []


@pytest.mark.parametrize(("right", "number"), [(9, 10), (150, 150), (0, 7), (83, 90)])
def test_wilson_is_scipys(right, number):
  theirs = stats.binomtest(right, number).proportion_ci(method="wilson")
  ours = significance.wilson(right / number, number)
  np.testing.assert_allclose(ours, [theirs.low, theirs.high], atol=1e-12)


def test_wilson_of_nothing():
  assert np.isnan(significance.wilson(np.nan, 0)).all()
