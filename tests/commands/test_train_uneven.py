"""Tests of training on captures with uneven classes, as users have them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mtl_traffic import load_model
from mtl_traffic.data import parquet
from mtl_traffic.inputs import Inputs
from mtl_traffic.runs import label_budgets
from mtl_traffic.serving import quality, trainer
from mtl_traffic.settings import Settings

OWN = Settings(
  k=16,
  test_per_class=0.2,
  validation_per_class=0.2,
  min_flows_per_class=1,
  equal_classes=4,
  methods=("nearest_neighbor",),
  labels_per_class=("all",),
  num_seeds=1,
)


def of_sizes(flow_maker, *sizes, names=None):
  flows = flow_maker(3 * max(sizes), num_packets=24)
  kept = np.concatenate(
    [np.flatnonzero(flows.classes == c)[:n] for c, n in enumerate(sizes)]
  )
  flows = flows[np.sort(kept)]
  names = names or ("a", "b", "c")[: len(sizes)]
  return flows.replace(class_names=tuple(names))


def trained(flows, tmp_path, settings=OWN):
  (run,) = label_budgets(settings)
  inputs = Inputs(settings, flows, [run])
  model = trainer.train(settings, inputs, run)
  return inputs, model, quality.write(inputs, [model], tmp_path)


@pytest.mark.parametrize(
  ("sizes", "tested"),
  [((5, 5), "balanced: 1 of each"), ((1, 10_000), "1 of 2 classes are not tested")],
)
def test_few_flows_and_a_single_one(flow_maker, tmp_path, sizes, tested):
  inputs, model, report = trained(of_sizes(flow_maker, *sizes), tmp_path)
  assert tested in report
  _, classes = model.draw.labelled()
  assert np.bincount(classes).min() >= 1 and set(classes) == {0, 1}
  assert any("learnt, but not tested: a (1)" in n for n in inputs.notes) == (1 in sizes)


def test_names_of_any_kind(flow_maker, tmp_path):
  names = ('a, "b"', "x" * 200, "流量")
  _, model, report = trained(of_sizes(flow_maker, 6, 8, 5, names=names), tmp_path)
  assert model.description.class_names == names
  assert "流量" in report and "x" * 200 in report
  json.dumps(model.description.names())


def test_flows_without_duration(flow_maker, tmp_path):
  flows = of_sizes(flow_maker, 9, 9)
  flows = flows.replace(durations=np.zeros(18))
  settings = OWN.replace(
    methods=("whole_flow_distillation",),
    bandwidth_dividers=(1.0,),
    duration_dividers=(1.0,),
  )
  _, model, _ = trained(flows, tmp_path, settings)
  assert model.description.names()["duration"] == ("under 1 s", "from 1 s")


@pytest.mark.parametrize("sizes", [(5, 5), (1, 12)])
def test_the_command_trains_on_ugly_flows_at_the_first_attempt(
  flow_maker, tmp_path, sizes
):
  names = ('a, "b"' + "x" * 194, "流量")
  flows = of_sizes(flow_maker, *sizes, names=names)
  if 1 in sizes:  # And all flows end with their first packet, so they last 0 s.
    series = {
      name: of[:, :1] for name, of in vars(flows.packets).items() if of.ndim == 2
    }
    ones = np.ones_like(flows.packets.counts)
    flows = flows.replace(
      packets=flows.packets.replace(counts=ones, **series),
      num_packets=np.ones_like(flows.num_packets),
      durations=np.zeros_like(flows.durations),
    )
  parquet.write(flows, tmp_path / "flows.parquet")
  done = run(tmp_path)
  assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
  report = (tmp_path / "model/report.md").read_text()
  assert ("They are balanced: " in report) and (
    ("1 of 2 classes are not tested" in report) == (1 in sizes)
  )
  assert "drawn at random from the flows that training flows are from" in report
  predictor = load_model(tmp_path / "model")
  assert predictor.names["class"] == names
  for of_task in predictor(flows).probabilities.values():
    np.testing.assert_allclose(of_task.sum(axis=1), 1, atol=1e-5)


def test_flows_without_any_label_are_refused_in_a_line(flow_maker, tmp_path):
  flows = of_sizes(flow_maker, 6, 6)
  flows = flows.replace(classes=np.full(12, -1, np.int32), class_names=())
  parquet.write(flows, tmp_path / "flows.parquet")
  done = run(tmp_path)
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith("error: flows: no flow has a label")


def run(folder):
  return subprocess.run(
    [
      *(sys.executable, "-m", "mtl_traffic", "train", "--config=own_captures"),
      *(f"--dataset={folder}/flows.parquet", f"--workdir={folder}/model"),
    ],
    # Compile quickly: each program runs only once.
    env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    capture_output=True,
    text=True,
    timeout=300,
  )


def test_test_flows_of_the_captures_that_train_are_told(flow_maker, tmp_path):
  flows = of_sizes(flow_maker, 40, 20)
  flows = flows.replace(
    partitions=(np.arange(60) // 30).astype(np.int32),
    partition_names=("a.pcap", "b.pcap"),
  )
  _, _, report = trained(flows, tmp_path)
  assert "They are not balanced: 4 to 8 of each class that is tested" in report
  assert "100% of them are of captures or partitions that training flows are" in report


def test_groups_are_read_and_test_apart(flow_maker, tmp_path):
  flows = of_sizes(flow_maker, 20, 20)
  flows = flows.replace(
    partitions=(np.arange(40) // 4).astype(np.int32),
    partition_names=tuple(f"{i}.pcap" for i in range(10)),
  )
  parquet.write(flows, tmp_path / "flows.parquet")
  flows = parquet.read(tmp_path / "flows.parquet", group_by="capture")
  _, model, report = trained(flows, tmp_path, OWN.replace(split_by="capture"))
  assert "of other groups (split_by)" in report
  of = flows.partitions
  assert not set(of[model.draw.test]) & set(of[model.draw.train])
  assert len(model.draw.test) and len(model.draw.validation)
