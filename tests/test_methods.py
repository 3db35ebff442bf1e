import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import draws, encoding, evaluation
from mtl_traffic.methods import METHODS
from mtl_traffic.study import Study
from mtl_traffic.training import Schedule


@pytest.fixture
def study(flows):
  return Study(
    flows=flows,
    inputs=encoding.encode(flows.packets, k=8),
    num_classes={"bandwidth": 3, "duration": 3, "class": 3},
    schedule=Schedule(epochs=15, batch_size=32),
  )


def _draws(flows, labels):
  return draws.draw_many(
    draws.flow_table(flows, np.ones(len(flows), bool)),
    jnp.arange(len(labels)),
    jnp.array(labels),
    test_per_class=6,
    validation_per_class=3,
  )


@pytest.mark.parametrize("name", METHODS)
def test_methods_learn_the_class_and_answer_for_the_flows_asked_about(
  study, flows, name
):
  drawn = _draws(flows, [8, 8])
  epochs = []
  scores = METHODS[name](
    study, drawn, jnp.full(2, 30.0), drawn.test, lambda: epochs.append(1)
  )
  assert scores["class"].shape == (2, 18, 3)
  assert len(epochs) == study.schedule.epochs
  for run in range(2):
    accuracy = evaluation.accuracy(
      np.asarray(scores["class"][run]), flows.classes[drawn.test[run]]
    )
    assert accuracy > 0.6  # A guess is right a third of the time.


def test_tasks_of_each_method(study, flows):
  drawn = _draws(flows, [4])
  tasks = {
    name: set(method(study, drawn, jnp.ones(1), drawn.test))
    for name, method in METHODS.items()
  }
  assert tasks["multitask"] == {"bandwidth", "duration", "class"}
  assert tasks["single_task"] == {"class"}


def test_single_task_sees_nothing_but_the_labelled_flows(study, flows):
  drawn = _draws(flows, [5])
  labelled = np.asarray(drawn.train[0, :15])
  asked = np.asarray(drawn.test[0])
  others = np.setdiff1d(np.arange(len(flows)), [*labelled, *asked])
  spoilt = Study(
    flows, study.inputs.at[others].set(jnp.nan), study.num_classes, study.schedule
  )
  arguments = (drawn, jnp.ones(1), drawn.test)
  jax.tree.map(
    np.testing.assert_array_equal,
    METHODS["single_task"](study, *arguments),
    METHODS["single_task"](spoilt, *arguments),
  )
