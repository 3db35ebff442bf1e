"""What is made of observations, worked out by hand."""

import json

import numpy as np
import pytest

from mtl_traffic.serving import assessment
from mtl_traffic.serving.assessment import assess
from mtl_traffic.serving.judgement import Reason
from mtl_traffic.serving.observations import Answered, Observations

OK, FEW, IMPROBABLE = Reason.ANSWERED, Reason.TOO_FEW, Reason.TOO_IMPROBABLE


def answered(rows):
  """Of (truth, best, confidence, reason) a flow."""
  truth, best, confidences, reasons = zip(*rows, strict=True)
  probabilities = np.zeros((len(rows), max(best) + 1))
  probabilities[np.arange(len(rows)), best] = confidences
  certainties = np.array(confidences)
  return Answered(
    np.array(truth), probabilities, certainties, np.array(reasons, np.int8)
  )


def observations(rows, captures=None, clients=None, seen=None, **others):
  """Observations of a model that knows "a" and "b", and of flows of "z" too."""
  size = len(rows)
  of_class = answered(rows)
  fields = {
    "class_names": ("a", "b", "z"),
    "num_known": 2,
    "k": 20,
    "seen": np.array(seen or [20] * size),
    "captures": np.array(captures or [""] * size, object),
    "clients": np.array(clients or [""] * size, object),
    "tasks": {"class": of_class},
    "after": {20: of_class},
    "task_names": {},
  }
  return Observations(**(fields | others))


# Three captures: the first of a, three of four right; the second of b, where one flow
# outweighs two; the third of z, which the model does not know.
ROWS = [
  (0, 0, 0.9, OK),
  (0, 0, 0.8, OK),
  (0, 1, 0.6, OK),
  (0, 0, 0.5, FEW),
  (1, 1, 0.9, OK),
  (1, 0, 0.4, OK),
  (1, 0, 0.4, OK),
  (1, 1, 0.3, IMPROBABLE),
  (2, 1, 0.7, OK),
  (2, 0, 0.2, IMPROBABLE),
]
CAPTURES = ["one"] * 4 + ["two"] * 4 + ["three"] * 2
SEEN = [20, 12, 9, 3, 20, 20, 4, 5, 20, 19]


def test_everything_by_hand():
  found = assess(observations(ROWS, CAPTURES, seen=SEEN))
  assert found["num_flows"] == 10 and found["num_answered"] == 7
  assert found["unknown"] == {
    "too few packets": 1,
    "too improbable": 2,
    "unlike the training flows": 0,
  }
  # Right are two flows of a and one of b.
  assert found["accuracy"] == pytest.approx(0.3)
  assert found["accuracy_of_answered"] == pytest.approx(3 / 7)
  assert found["answered_share"] == pytest.approx(0.7)
  assert found["accuracy_of_known_classes"] == pytest.approx(3 / 8)
  assert found["classes_unknown_to_model"] == {"z": 2}
  # Flows of z are of 0.7 and 0.2: in 11 of 16 pairs they are less certain.
  assert found["detection_of_unknown_classes"] == {"auroc": 11 / 16, "kept": 3 / 8}
  # Recalls of 2/4, 1/4 and 0; a was answered four times, b three times.
  assert found["balanced_accuracy"] == pytest.approx(0.25)
  assert found["macro_f1"] == pytest.approx((2 * 2 / 8 + 2 * 1 / 7 + 0) / 3)
  assert found["capture_accuracy"] == pytest.approx(2 / 3)
  assert found["captures"] == {
    "number": 3,
    "of_several_classes": [],
    "wrong": [{"name": "three", "class": "z", "answer": "b", "num_flows": 2}],
  }
  assert found["client_accuracy"] is None and found["clients"]["number"] == 0
  assert found["confusion"] == {
    "classes": ["a", "b", "z"],
    "answers": ["a", "b", "z", "unknown"],
    "counts": [[2, 1, 0, 1], [2, 1, 0, 1], [0, 1, 0, 1]],
  }
  a, b, z = found["classes"]
  assert a["precision"] == pytest.approx(0.5) and a["recall"] == pytest.approx(0.5)
  assert b["f1"] == pytest.approx(2 / 7) and b["num_unknown"] == 1
  assert z["precision"] is None and z["recall"] == 0 and not z["known_to_model"]
  assert [one["num_captures"] for one in (a, b, z)] == [1, 1, 1]
  of_bins = {(one["from"], one["to"]): one for one in found["by_packets"]}
  assert list(of_bins) == [(1, 4), (5, 9), (10, 19), (20, 20)]
  assert [one["num_flows"] for one in of_bins.values()] == [2, 2, 2, 4]
  assert [one["accuracy"] for one in of_bins.values()] == [0, 0, 0.5, 0.5]
  assert of_bins[10, 19]["num_answered"] == 1
  assert of_bins[10, 19]["accuracy_of_answered"] == 1


def test_calibration_and_coverage_are_those_without_a_threshold():
  found = assess(observations(ROWS, CAPTURES))
  # Nine flows had packets enough; four of them are right, that of 0.3 too.
  assert sum(one["num_flows"] for one in found["calibration"]) == 9
  (most, *_, sure) = found["coverage"]
  assert most == {
    "threshold": 0.0,
    "coverage": pytest.approx(0.9),
    "accuracy": pytest.approx(4 / 9),
  }
  assert sure == {"threshold": 0.99, "coverage": 0.0, "accuracy": None}
  at_80 = found["coverage"][assessment.THRESHOLDS.index(0.8)]
  assert at_80["coverage"] == pytest.approx(0.3) and at_80["accuracy"] == 1


def test_intervals_are_of_captures_where_there_are_some():
  # In each of 20 captures all flows are right, or none.
  rows = [(0, int(i % 10 == 0), 0.9, OK) for i in range(20) for _ in range(50)]
  captures = [f"c{i}" for i in range(20) for _ in range(50)]
  by_capture = assess(observations(rows, captures))
  by_flow = assess(observations(rows))
  assert (by_capture["resampled"], by_capture["num_resampled"]) == ("captures", 20)
  assert (by_flow["resampled"], by_flow["num_resampled"]) == ("flows", 1000)
  assert by_capture["accuracy"] == by_flow["accuracy"] == 0.9
  # Binomial: 1.96 √(0.9 · 0.1 / n) is 0.131 and 0.0186.
  low, high = by_capture["intervals"]["accuracy"]
  assert low == pytest.approx(0.75, abs=0.051) and high == 1
  low, high = by_flow["intervals"]["accuracy"]
  assert [low, high] == pytest.approx([0.8814, 0.9186], abs=0.004)
  assert by_capture["intervals"]["capture_accuracy"][0] == pytest.approx(0.75, abs=0.1)
  assert by_flow["capture_accuracy"] is by_flow["intervals"]["capture_accuracy"] is None


def test_flows_of_no_capture_are_drawn_one_by_one_even_beside_others():
  found = assess(observations(ROWS, ["one"] * 9 + [""]))
  assert found["resampled"] == "flows" and found["captures"]["number"] == 0


def test_what_is_of_several_classes_is_left_out():
  rows = [(0, 0, 0.9, OK), (1, 1, 0.9, OK), (1, 1, 0.9, OK)]
  found = assess(observations(rows, ["mixed", "mixed", "pure"]))
  assert found["captures"]["of_several_classes"] == ["mixed"]
  assert found["captures"]["number"] == 1 and found["capture_accuracy"] == 1


def test_an_address_counts_within_its_capture():
  rows = [(0, 0, 0.9, OK), (1, 0, 0.9, OK), (1, 1, 0.9, OK), (1, 0, 1.0, OK)]
  captures, clients = ["x", "y", "y", "y"], ["10.1", "10.1", "10.2", "0.0.0.0"]
  found = assess(observations(rows, captures, clients))
  assert found["clients"]["number"] == 3
  assert found["client_accuracy"] == pytest.approx(2 / 3)
  assert [one["name"] for one in found["clients"]["wrong"]] == ["10.1 in y"]


def test_a_flow_has_a_vote_for_each_packet_that_was_seen():
  rows = [(0, 1, 0.9, OK)] * 3 + [(0, 0, 0.8, OK), (0, 1, 1.0, IMPROBABLE)]
  # Two packets each say b, 5.4 together; ten say a, 8; one that is unknown, nothing.
  seen = [2, 2, 2, 10, 20]
  found = assess(observations(rows, ["x"] * 5, ["10.1"] * 5, seen))
  assert found["capture_accuracy"] == found["client_accuracy"] == 1
  seen = [4, 4, 4, 10, 20]  # 10.8 say b.
  found = assess(observations(rows, ["x"] * 5, ["10.1"] * 5, seen))
  assert found["capture_accuracy"] == found["client_accuracy"] == 0


def test_votes_for_a_class_with_many_training_flows_weigh_less():
  of_class = answered([(1, 0, 0.8, OK), (1, 1, 0.2, OK), (0, 0, 0.9, OK)])
  of_class.probabilities[:] = [[0.8, 0.2], [0.8, 0.2], [0.9, 0.1]]
  groups, seen = np.array(["x", "x", "y"], object), np.array([5, 10, 20])

  def elected(*counts):
    return assessment.votes(of_class, groups, seen, *counts).elected.tolist()

  # Of counts 24 and 0, the votes are divided by 5 and 1. The first capture has 12/5 and
  # 3 votes, the second 18/5 and 2. Division by 25 would give it 18/25 and 2.
  assert elected((24, 0)) == [1, 0]
  assert elected() == elected(()) == elected((7, 7)) == [0, 0]


def test_votes_of_captures_are_divided_and_those_of_clients_are_not():
  of_class = answered([(1, 0, 0.8, OK), (1, 1, 0.2, OK)])
  of_class.probabilities[:] = [0.8, 0.2]
  fields = {"tasks": {"class": of_class}, "after": {20: of_class}}
  rows = [(1, 0, 0.8, OK)] * 2
  for counts, right in (((), 0), ((24, 0), 1)):
    observed = observations(
      rows, ["x"] * 2, ["10.1"] * 2, class_counts=counts, **fields
    )
    found = assess(observed)
    assert found["capture_accuracy"] == right and found["client_accuracy"] == 0


def test_a_capture_of_which_no_flow_is_answered_is_unknown_and_not_right():
  found = assess(observations([(0, 0, 0.9, FEW)] * 2, ["x", "x"]))
  assert found["capture_accuracy"] == 0 and found["accuracy_of_answered"] is None
  (wrong,) = found["captures"]["wrong"]
  assert wrong["answer"] == "unknown" and found["intervals"]["accuracy"] is None


def test_other_tasks_are_of_flows_that_have_a_truth():
  of_class = answered([(0, 0, 0.9, OK)] * 3)
  bandwidth = answered([(1, 1, 0.9, OK), (-1, 0, 0.8, OK), (0, 0, 0.5, FEW)])
  found = assess(
    observations(
      [(0, 0, 0.9, OK)] * 3,
      tasks={"class": of_class, "bandwidth": bandwidth},
      after={5: bandwidth, 20: of_class},
      task_names={"bandwidth": ("low", "high")},
    )
  )
  of_task = found["tasks"]["bandwidth"]
  assert (of_task["num_flows"], of_task["num_answered"]) == (2, 1)
  assert (of_task["accuracy"], of_task["accuracy_of_answered"]) == (0.5, 1)
  assert [one["packets"] for one in found["after_packets"]] == [5, 20]
  # A flow without a truth is no flow that was sure and wrong.
  curve = assessment.coverage_of(bandwidth)
  assert curve.coverages.tolist() == [0.5] and curve.accuracies.tolist() == [1]


def test_all_of_it_is_json_and_follows_from_the_seed():
  observed = observations(ROWS, CAPTURES)
  texts = [
    json.dumps(assess(observed, seed=seed), allow_nan=False) for seed in (1, 1, 2)
  ]
  assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
  ("k", "bins"),
  [
    (1, [(1, 1)]),
    (4, [(1, 3), (4, 4)]),
    (10, [(1, 4), (5, 9), (10, 10)]),
    (60, [(1, 4), (5, 9), (10, 19), (20, 49), (50, 59), (60, 60)]),
  ],
)
def test_ranges_of_packets(k, bins):
  assert assessment.packet_bins(k) == bins
