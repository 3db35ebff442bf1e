import json

import numpy as np
import pytest

from mtl_traffic.errors import InputError
from mtl_traffic.evaluation import Detection
from mtl_traffic.runs import label_budgets
from mtl_traffic.serving import trainer, unknown_traffic
from mtl_traffic.settings import Settings

SETTINGS = Settings(
  methods=("whole_flow_distillation",),
  labels_per_class=(5,),
  num_seeds=1,
  k=10,
  test_per_class=6,
  validation_per_class=0,
)


def conduct(flows, path, settings=SETTINGS):
  runs = label_budgets(settings)
  return unknown_traffic.conduct(settings, "made", flows, runs, path)


def test_each_class_is_left_out_once_and_what_is_done_stays(
  flows, tmp_path, monkeypatch
):
  text = conduct(flows, tmp_path)
  rows = [*map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())]
  assert [row["left_out"] for row in rows] == ["a", "b", "c"]
  assert (tmp_path / "table.md").read_text() == text
  # a and b have shorter packets and times than c, so c is easy to detect.
  auroc, kept = rows[2]["certainty"]
  assert 0.5 < auroc <= 1 and 0 <= kept <= 1
  monkeypatch.setattr(unknown_traffic, "detections", None)
  assert conduct(flows, tmp_path) == text


def test_the_model_sees_no_flow_of_the_class_left_out(flows, monkeypatch):
  seen = []
  train = trainer.train

  def spy(settings, inputs, run):
    seen.append(inputs.flows)
    return train(settings, inputs, run)

  monkeypatch.setattr(trainer, "train", spy)
  (run,) = label_budgets(SETTINGS)
  unknown_traffic.detections(SETTINGS, flows, run, "b")
  (of_training,) = seen
  assert of_training.class_names == ("a", "c")
  assert not set(of_training.ids) & set(flows[flows.classes == 1].ids)
  assert len(of_training) == np.sum(flows.classes != 1)


def row(seed, left_out, auroc, kept):
  found = Detection(auroc, kept)
  scores = dict.fromkeys(unknown_traffic.SCORES, found)
  return {"method": "m", "labels_per_class": 5, "seed": seed, "left_out": left_out} | (
    scores
  )


def test_the_table_has_means_over_seeds_of_each_class_and_of_all():
  rows = [row(0, "a", 0.8, 0.5), row(0, "b", 0.6, 0.1), row(1, "a", 0.9, 0.5)]
  shown = unknown_traffic.table(rows)
  by_name = {line[2]: line for line in shown.rows}
  assert by_name["a"][3] == 2 and by_name["a"][4].startswith("85.0 ±")
  assert by_name["b"][3:5] == [1, "60.0"]
  # Seed 1 has not left out b yet.
  assert by_name["mean"][3:8] == [1, "70.0", "70.0", "70.0", "30.0"]


def test_three_classes_are_needed(flows, tmp_path):
  with pytest.raises(InputError, match="three are needed"):
    conduct(flows[flows.classes != 0], tmp_path)
