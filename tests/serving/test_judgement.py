import numpy as np

from mtl_traffic.serving.judgement import REASON_NAMES, Reason, certainty, judge

PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [np.nan, np.nan]])


def test_without_more_only_what_is_no_probability_is_unknown():
  judged = judge(PROBABILITIES)
  assert judged.labels.tolist() == [0, 1, 0, -1]
  assert judged.reasons.tolist() == [0, 0, 0, Reason.TOO_IMPROBABLE]


def test_certainty_is_one_over_the_classes_that_a_model_wavers_between():
  for number in (1, 2, 4):
    among = np.array([[1 / number] * number + [0.0] * 3])
    np.testing.assert_allclose(certainty(among), 1 / number)
  # The entropy of 0.9 and 0.1 is 0.9 × 0.10536 + 0.1 × 2.30259.
  np.testing.assert_allclose(certainty(PROBABILITIES[:1]), np.exp(-0.325083), rtol=1e-6)
  assert np.isnan(certainty(PROBABILITIES)[3])


def test_a_strange_flow_is_less_certain():
  familiarity = np.array([1, 0.5, 0.25])
  found = certainty(PROBABILITIES[:3], familiarity)
  np.testing.assert_allclose(found, certainty(PROBABILITIES[:3]) * familiarity)
  assert (found <= PROBABILITIES[:3].max(axis=1)).all()


def test_a_threshold_is_reached_by_what_equals_it():
  half = certainty(PROBABILITIES[2:3])[0]
  judged = judge(PROBABILITIES[:3], threshold=half)
  assert judged.labels.tolist() == [0, 1, 0]
  judged = judge(PROBABILITIES[:3], threshold=np.nextafter(half, 1))
  assert judged.labels.tolist() == [0, 1, -1]
  assert judged.reasons.tolist() == [0, 0, Reason.TOO_IMPROBABLE]


def test_the_reason_is_strangeness_where_the_class_alone_would_do():
  # Certainties of 0.722 and 0.510.
  judged = judge(PROBABILITIES[:2], np.array([0.8, 0.8]), threshold=0.6)
  assert judged.labels.tolist() == [-1, -1]
  assert judged.reasons.tolist() == [Reason.TOO_STRANGE, Reason.TOO_IMPROBABLE]
  assert judge(PROBABILITIES[:1], np.array([0.9]), threshold=0.6).labels.tolist() == [0]


def test_too_few_packets_are_the_first_reason():
  seen = np.array([4, 5, 4, 6])
  judged = judge(PROBABILITIES, threshold=0.8, seen=seen, fewest=5)
  assert judged.labels.tolist() == [-1, -1, -1, -1]
  too_few, improbable = Reason.TOO_FEW, Reason.TOO_IMPROBABLE
  assert judged.reasons.tolist() == [too_few, improbable, too_few, improbable]


def test_every_reason_has_a_name_of_its_own():
  names = [REASON_NAMES[reason] for reason in Reason if reason != Reason.ANSWERED]
  assert len(set(names)) == len(names) == len(Reason) - 1
