"""Training on the uneven captures that people have, at the first attempt."""

import json

import numpy as np
import pytest

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
  [((5, 5), "balanced: 1 of each"), ((1, 300), "1 of 2 classes are not tested")],
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
