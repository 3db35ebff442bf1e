import json

import pytest

from mtl_traffic import runs
from mtl_traffic.errors import InputError
from mtl_traffic.settings import Settings


def _run(**fields):
  return runs.Run("multitask", 10, seed=0, **{"k": 8, "packets": 8, **fields})


def test_runs_are_those_of_all_methods_seeds_and_budgets():
  settings = Settings(
    methods=("multitask", "single_task"),
    labels_per_class=(5, "all"),
    num_seeds=2,
    first_seed=7,
    learning_rate=0.01,
    mask="features",
    shortest_prefix=3,
  )
  asked_for = runs.label_budgets(settings, lambda_=3.0)
  assert [(run.method, run.seed, run.labels_per_class) for run in asked_for] == [
    (method, seed, labels)
    for method in ("multitask", "single_task")
    for seed in (7, 8)
    for labels in (5, "all")
  ]
  (shared,) = {
    (run.k, run.packets, run.lambda_, run.learning_rate, run.mask, run.shortest_prefix)
    for run in asked_for
  }
  # Only what learns from prefixes says so itself; settings merely say from which on.
  assert shared == (60, 60, 3.0, 0.01, "features", None)


def test_as_many_packets_are_shown_as_are_read_unless_said_otherwise():
  settings = Settings(labels_per_class=(5,), num_seeds=1, methods=("multitask",))
  (run,) = runs.label_budgets(settings, k=20)
  assert (run.k, run.packets) == (20, 20)
  (run,) = runs.label_budgets(settings, k=20, packets=10, shortest_prefix=5)
  assert (run.k, run.packets, run.shortest_prefix) == (20, 10, 5)


def test_a_run_is_told_from_its_row():
  run = _run(tasks=("bursts",), bandwidth_dividers=(1.0, 2.5), learning_rate=0.5)
  row = json.loads(json.dumps({**run.identity(), "class_accuracy": 0.5}))
  assert row["lambda"] == 1.0
  assert runs.Run.of(row) == run
  for name in ("tasks", "lambda", "learning_rate", "packets"):
    lacking = {field: value for field, value in row.items() if field != name}
    with pytest.raises(InputError, match=f"lacks the field '{name}'"):
      runs.Run.of(lacking)


def test_a_fit_is_the_same_after_whatever_packets_it_is_asked():
  early, late = _run(packets=5, shortest_prefix=3), _run(packets=8, shortest_prefix=3)
  assert early != late
  assert early.fitted() == late.fitted() == late


def test_only_given_dividers_are_not_drawn():
  assert _run().dividers() == {}
  assert _run(duration_dividers=(1.0,)).dividers() == {"duration": (1.0,)}
