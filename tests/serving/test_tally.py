"""The counts of several processes add up to those of a single process."""

import copy

import numpy as np

from mtl_traffic.serving.tally import Tally


def counted(flows):
  tally = Tally(num_open=len(flows))
  columns = {"class": flows, "class_probability": [0.5] * len(flows)}
  columns["class_certainty"] = columns["class_probability"]
  columns |= {"class_unknown_because": [None] * len(flows), "true_class": ["a"] * 9}
  columns["true_class"] = columns["true_class"][: len(flows)]
  columns["time"] = np.arange(len(flows)) * 60 * 10**9
  tally.count(columns, ("class",))
  tally.count_delays(np.full(len(flows), 0.015))
  tally.num_answers += len(flows)
  tally.labels.label_lines[7] += len(flows)
  return tally


def test_what_was_taken_and_added_is_the_whole():
  whole, together = counted(["a", "b", "a"]), Tally(num_open=3)
  part = counted(["a", "b", "a"])
  together.add(part.taken())
  assert part.num_open == 3 and part.num_answers == 0 and not part.answers
  assert part.delays.sum() == 0 and not part.labels.label_lines
  assert {**vars(together), "delays": together.delays.tolist()} == {
    **vars(whole),
    "delays": whole.delays.tolist(),
  }
  together.add(part.taken())  # Nothing more.
  assert together.num_answers == 3
  twice = copy.deepcopy(together)
  twice.add(counted(["a", "b", "a"]))
  assert twice.answers["class", "a", None] == 4 and twice.labelled[True] == 4
  assert twice.labels.label_lines[7] == 6 and twice.delays.sum() == 6
  assert twice.num_open == 3  # Only the processes themselves know this.
