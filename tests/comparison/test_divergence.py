"""A run with non-finite numbers is reported as failed and has no accuracy."""

import dataclasses
import json

import numpy as np
import pytest

from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.comparison.conduct import conduct
from mtl_traffic.errors import InputError
from mtl_traffic.inputs import Inputs, check_run
from mtl_traffic.runs import label_budgets
from mtl_traffic.serving import trainer
from mtl_traffic.settings import Settings

SETTINGS = Settings.of(
  {
    "methods": ("multitask",),
    "labels_per_class": (5,),
    "num_seeds": 2,
    "test_per_class": 5,
    "validation_per_class": 5,
    "k": 8,
    "epochs": 2,
    "batch_size": 32,
  }
)
DIVERGES = 1e30


def _rows(path):
  lines = (path / "results.jsonl").read_text().splitlines()
  return {(r["learning_rate"], r["seed"]): r for r in map(json.loads, lines)}


def test_a_run_that_diverges_is_a_row_with_an_error(tmp_path, flows):
  experiment = EXPERIMENTS["learning_rate_sweep"]
  # Set here, because settings do not allow such a value.
  sound = label_budgets(SETTINGS)
  runs = [*sound, *label_budgets(SETTINGS, learning_rate=DIVERGES)]
  text = conduct(experiment, SETTINGS, "flows", flows, tmp_path / "a", runs)
  rows = _rows(tmp_path / "a")
  for seed in range(2):
    failed = rows[DIVERGES, seed]
    assert failed["class_accuracy"] is failed["class_confusion"] is None
    assert "a parameter is not finite after epoch 1" in failed["error"]
  lines = [line.split("|") for line in text.splitlines() if "multitask" in line]
  assert [[cell.strip() for cell in line[3:7]] for line in lines] == [
    ["0.001", "2", "0", lines[0][6].strip()],
    ["1e+30", "0", "2", "–"],
  ]

  # The runs beside it give the same rows as alone, and nothing is run again.
  conduct(experiment, SETTINGS, "flows", flows, tmp_path / "b", sound)
  alone = _rows(tmp_path / "b")
  for key in alone:
    ours = {name: v for name, v in rows[key].items() if name != "seconds"}
    assert ours == {name: v for name, v in alone[key].items() if name != "seconds"}
  before = (tmp_path / "a" / "results.jsonl").read_bytes()
  conduct(experiment, SETTINGS, "flows", flows, tmp_path / "a", runs)
  assert (tmp_path / "a" / "results.jsonl").read_bytes() == before


def test_scores_that_are_not_finite_are_no_accuracy(tmp_path, flows, monkeypatch):
  from mtl_traffic.methods.multitask import Multitask

  ask = Multitask.ask

  def ask_in_vain(self, parameters, inputs, queries):
    scores = {
      task: np.array(of) for task, of in ask(self, parameters, inputs, queries).items()
    }
    scores["bandwidth"][0, 0] = np.nan
    return scores

  monkeypatch.setattr(Multitask, "ask", ask_in_vain)
  conduct(EXPERIMENTS["label_budget"], SETTINGS, "flows", flows, tmp_path)
  rows = _rows(tmp_path)
  assert rows[1e-3, 0]["error"] == "its scores are not finite"
  assert rows[1e-3, 0]["class_accuracy"] is None
  assert "error" not in rows[1e-3, 1] and rows[1e-3, 1]["class_accuracy"] > 0


def test_a_model_that_diverges_is_not_kept(flows):
  (run, *_) = label_budgets(SETTINGS, learning_rate=DIVERGES)
  inputs = Inputs(SETTINGS, flows, [run])
  with pytest.raises(
    InputError, match=r"multitask, seed 0: .*not finite after epoch 1"
  ):
    trainer.train(SETTINGS, inputs, run)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"lambda_": 1e30}, "lambda: 1e.30 must be 0 to 1e.09"),
    ({"lambda_": float("nan")}, "lambda: nan"),
    ({"learning_rate": 0.0}, "learning_rate: 0.0 must be above 0"),
    ({"learning_rate": float("inf")}, "learning_rate: inf"),
    ({"clip_norm": -1.0}, "clip_norm: -1.0"),
    ({"seed": 2**32}, "seed: 4294967296 must be 0 to 2147483647"),
  ],
)
def test_bounds_of_a_run(fields, message):
  (run, *_) = label_budgets(SETTINGS)
  with pytest.raises(InputError, match=message):
    check_run(dataclasses.replace(run, **fields), SETTINGS)
