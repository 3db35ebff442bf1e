"""Rows of a turn are written in order of time, however they are split into parts."""

import itertools

import numpy as np
import pytest

from mtl_traffic.serving.tally import Tally
from mtl_traffic.serving.writer import Writer, in_order


def rows(*values, **others):
  """Columns of (flow, time, revision)."""
  flows, times, revisions = zip(*values, strict=True)
  columns = {"flow": list(flows), "revision": list(revisions)}
  return columns | {"time": np.array(times, np.int64)} | others


PARTS = (
  rows(("c#1", 30, 1), ("c#9", 10, 1)),
  rows(("c#1", 20, 2)),  # Caused by a packet that arrived too late.
  rows(("c#5", 20, 1), ("c#6", 10, 1), true_class=["a", None]),
)


def test_rows_are_in_order_of_time_and_those_of_a_flow_in_their_own():
  merged = in_order(PARTS)
  flows = list(zip(merged["flow"], merged["revision"], strict=True))
  assert flows == [("c#6", 1), ("c#9", 1), ("c#5", 1), ("c#1", 1), ("c#1", 2)]
  assert merged["time"].tolist() == [10, 10, 20, 30, 20]
  assert merged["true_class"] == [None, None, "a", None, None]


def test_it_does_not_matter_how_they_were_parted():
  whole = in_order(PARTS)
  # The parts of one flow keep their order.
  for order in itertools.permutations(range(3)):
    if order.index(0) < order.index(1):
      merged = in_order([PARTS[i] for i in order])
      assert merged.keys() == whole.keys()
      assert all(list(merged[name]) == list(whole[name]) for name in whole)


def test_answers_are_counted_and_delays_of_those_that_a_packet_brought():
  written, tally = [], Tally()

  class File:
    write = written.append

  writer = Writer(File(), tally, points=(4,), clock=lambda: 2 * 10**9)
  columns = rows(("a", 10**9, 1), ("b", 10**9, 1), ("b", 10**9, 1))
  # An answer at the fourth packet, one for a flow that ended earlier, and its end.
  columns |= {"event": ["answer", "answer", "end"], "packets": [4, 3, None]}
  writer.write([])
  writer.write([columns])
  assert len(written) == 1 and tally.num_answers == 2
  assert tally.delays.sum() == 1 and tally.sum_of_delays == pytest.approx(1.0)
