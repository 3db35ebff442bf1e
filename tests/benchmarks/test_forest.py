"""The comparison with scikit-learn's forest: by hand, and end to end on made flows."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import forest
from mtl_traffic.data import parquet
from mtl_traffic.serving.observations import Answered, Observations


def observed(rows, captures):
  """Of (truth, answer, packets seen) a flow."""
  truth, answers, seen = map(np.array, zip(*rows, strict=True))
  of_class = Answered(
    truth, np.eye(2)[answers], np.ones(len(rows)), np.zeros(len(rows), np.int8)
  )
  return Observations(
    class_names=("a", "b"),
    num_known=2,
    k=20,
    seen=seen,
    captures=np.array(captures, object),
    clients=np.array([""] * len(rows), object),
    tasks={"class": of_class},
    after={},
    task_names={},
  )


ROWS = [(0, 0, 20), (0, 1, 9), (0, 0, 10), (1, 1, 2), (1, 0, 10), (1, 1, 5)]
CAPTURES = ["x"] * 3 + ["y"] * 3


def test_figures_by_hand():
  flows = observed(ROWS, CAPTURES)
  units = forest._units(flows)
  counts = forest._counts(flows, flows.tasks["class"], units)
  assert counts.shape == (3 * 2 + 4, 2)
  accuracy, f1, of_many, by_vote = forest.figures(counts.sum(axis=1))
  assert accuracy == pytest.approx(4 / 6) and f1 == pytest.approx(4 / 6)
  # Of three flows of ten packets or more one is wrong, and it outvotes y.
  assert of_many == pytest.approx(2 / 3) and by_vote == 0.5
  # The first capture alone, drawn twice.
  accuracy, _, of_many, by_vote = forest.figures(counts @ np.array([2, 0]))
  assert accuracy == pytest.approx(2 / 3) and of_many == by_vote == 1


def test_votes_for_a_class_with_many_training_flows_weigh_less():
  flows = dataclasses.replace(observed(ROWS, CAPTURES), class_counts=(8, 0))
  counts = forest._counts(flows, flows.tasks["class"], forest._units(flows))
  # Votes for a are divided by 3. Of capture x, 30 packets say a and 9 b: it stays
  # right. Of y, 10 say a and 7 b, so that it becomes right.
  assert forest.figures(counts.sum(axis=1))[3] == 1


def test_differences_are_of_the_same_captures():
  flows = observed(ROWS, CAPTURES)
  better = observed([(truth, truth, seen) for truth, _, seen in ROWS], CAPTURES)
  sides = [
    [forest._counts(one, one.tasks["class"], forest._units(one))] * 2
    for one in (better, flows)
  ]
  accuracy = forest._measured(*sides)["accuracy"]
  assert accuracy["ours"] == 1 and accuracy["scikit_learn"] == pytest.approx(2 / 3)
  # Each capture has one wrong flow of three, so that whichever are drawn it is a third.
  assert accuracy["difference_interval"] == pytest.approx([1 / 3, 1 / 3])
  same = forest._measured(sides[0], sides[0])["capture_accuracy"]
  assert same["difference"] == 0 and same["difference_interval"] == [0, 0]


def test_what_lengths_tell(flow_maker):
  flows = flow_maker(8).replace(classes=np.array([0, 0, 1, 0, 1, 1, 2, 2], np.int32))
  lengths, directions = (
    np.ones_like(series) for series in (flows.packets.lengths, flows.packets.directions)
  )
  lengths[:, 0] = [5, 5, 5, 6, 7, 7, 8, 8]
  directions[7, 0] = -1
  lengths[:, 3] = np.arange(8)
  flows = flows.replace(
    packets=flows.packets.replace(lengths=lengths, directions=directions)
  )
  # After three packets the first three flows are twins, two of which are of a.
  assert forest.by_lengths(flows, 3) == (3 / 8, 7 / 8)
  assert forest.by_lengths(flows, 4) == (0, 1)


def test_both_learn_from_the_same_flows_of_files(flow_maker, tmp_path):
  for name, seed in (("train", 0), ("test", 1)):
    flows = flow_maker(90, seed=seed)
    captures = np.arange(90, dtype=np.int32) // 9
    names = tuple(f"{name}-{i}.pcap" for i in range(10))
    ids = np.array([f"{names[of]}#{i}" for i, of in enumerate(captures)])
    # A flow without a label takes no part.
    classes = np.where(np.arange(90) == 4, -1, captures % 3).astype(np.int32)
    flows = flows.replace(
      partitions=captures, partition_names=names, ids=ids, classes=classes
    )
    parquet.write(flows, tmp_path / f"{name}.parquet")
  done = subprocess.run(
    [
      *(sys.executable, "-m", "benchmarks.forest", "--num_seeds=1"),
      *(f"--{name}={tmp_path}/{name}.parquet" for name in ("train", "test")),
      f"--workdir={tmp_path}",
      "--method=nearest_neighbor",
    ],
    # Programs that run once need not be fast.
    env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "forest.json").read_text())
  assert (result["num_train"], result["num_test"]) == (89, 89)
  assert (result["resampled"], result["num_resampled"]) == ("captures", 10)
  for measure in ("accuracy", "macro_f1", "capture_accuracy"):
    sides = result[measure]
    assert sides["difference"] == pytest.approx(sides["ours"] - sides["scikit_learn"])
    low, high = sides["ours_interval"]
    assert 0 <= low <= sides["ours"] <= high <= 1
  table = (tmp_path / "forest.md").read_text()
  assert table in done.stdout and "scikit-learn's random forest" in table
