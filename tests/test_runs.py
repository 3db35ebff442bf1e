import json

import pytest

from experiments import runs
from experiments.configs import common
from mtl_traffic.errors import InputError


def _run(**fields):
  return runs.Run("multitask", 10, 0, **{"k": 8, "lambda_": 1.0, **fields})


def test_the_first_seeds_come_first_and_settings_can_be_replaced():
  config = common.get_config()
  config.update(methods=("multitask",), labels_per_class=(5, "all"), num_seeds=2)
  config.first_seed = 7
  asked_for = runs.label_budgets(config, lambda_=3.0)
  assert [(run.seed, run.labels_per_class) for run in asked_for] == [
    (7, 5),
    (7, "all"),
    (8, 5),
    (8, "all"),
  ]
  assert {(run.k, run.lambda_) for run in asked_for} == {(60, 3.0)}


def test_a_run_is_told_from_its_row():
  run = _run(tasks=("bursts",), bandwidth_dividers=(1.0, 2.5), duration_dividers=())
  row = json.loads(json.dumps({**run.identity(), "class_accuracy": 0.5}))
  assert row["lambda"] == 1.0
  assert runs.Run.of(row) == run
  del row["tasks"]
  with pytest.raises(InputError, match="lacks the field 'tasks'"):
    runs.Run.of(row)
