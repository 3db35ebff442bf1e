import numpy as np

from mtl_traffic.serving.judgement import REASON_NAMES, Reason, judge

PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [np.nan, np.nan]])


def test_without_more_only_what_is_no_probability_is_unknown():
  judged = judge(PROBABILITIES)
  assert judged.labels.tolist() == [0, 1, 0, -1]
  assert judged.reasons.tolist() == [0, 0, 0, Reason.TOO_IMPROBABLE]


def test_a_threshold_is_reached_by_what_equals_it():
  judged = judge(PROBABILITIES[:3], threshold=0.6)
  assert judged.labels.tolist() == [0, 1, -1]
  assert judged.reasons.tolist() == [0, 0, Reason.TOO_IMPROBABLE]


def test_too_few_packets_are_the_first_reason():
  seen = np.array([4, 5, 4, 6])
  judged = judge(PROBABILITIES, threshold=0.8, seen=seen, fewest=5)
  assert judged.labels.tolist() == [-1, -1, -1, -1]
  too_few, improbable = Reason.TOO_FEW, Reason.TOO_IMPROBABLE
  assert judged.reasons.tolist() == [too_few, improbable, too_few, improbable]


def test_every_reason_has_a_name_of_its_own():
  names = [REASON_NAMES[reason] for reason in Reason if reason != Reason.ANSWERED]
  assert len(set(names)) == len(names) == len(Reason) - 1
