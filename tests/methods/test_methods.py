"""What holds for every method."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import evaluation
from mtl_traffic.methods import METHODS

NEURAL = ("multitask", "single_task", "transfer", "transfer_fine_tuned", "cnn_rnn")


@pytest.mark.parametrize("name", METHODS)
def test_learns_the_class_and_answers_for_the_flows_asked_about(
  study, flows, draw, name
):
  drawn = draw(8, 8)
  epochs = []
  scores = METHODS[name](
    study, drawn, jnp.full(2, 30.0), drawn.test, lambda: epochs.append(1)
  )
  assert scores["class"].shape == (2, 18, 3)
  assert len(epochs) == (study.schedule.epochs if name in NEURAL else 0)
  for run in range(2):
    accuracy = evaluation.accuracy(
      np.asarray(scores["class"][run]), flows.classes[drawn.test[run]]
    )
    assert accuracy > 0.5  # A guess is right a third of the time.


def test_tasks_of_each_method(study, draw):
  drawn = draw(4)
  short = dataclasses.replace(
    study, schedule=dataclasses.replace(study.schedule, epochs=1)
  )
  for name, method in METHODS.items():
    tasks = set(method(short, drawn, jnp.ones(1), drawn.test))
    if name in ("multitask", "cnn_rnn", "forest_propagation"):
      assert tasks == {"bandwidth", "duration", "class"}
    else:
      assert tasks == {"class"}


@pytest.mark.parametrize("name", ["single_task", "random_forest", "nearest_neighbor"])
def test_what_learns_from_labels_alone_sees_no_other_flows(study, flows, draw, name):
  drawn = draw(5)
  labelled = np.asarray(drawn.train[0, :15])
  asked = np.asarray(drawn.test[0])
  others = np.setdiff1d(np.arange(len(flows)), [*labelled, *asked])
  lengths = flows.packets.lengths.copy()
  lengths[others] = 7777
  spoilt = dataclasses.replace(
    study,
    flows=flows.replace(packets=flows.packets.replace(lengths=lengths)),
    inputs=study.inputs.at[others].set(jnp.inf),
  )
  arguments = (drawn, jnp.ones(1), drawn.test)
  jax.tree.map(
    np.testing.assert_array_equal,
    METHODS[name](study, *arguments),
    METHODS[name](spoilt, *arguments),
  )


def test_a_mask_on_the_features_lets_unlabelled_flows_teach_the_class_bias(study, draw):
  # No flow has a label. All else being equal, as without clipping it is, what the class
  # head says differs by its bias alone.
  unclipped = dataclasses.replace(study.schedule, clip_norm=1e9)
  drawn = draw(4)
  drawn.targets["class"] = jnp.full_like(drawn.targets["class"], -1)
  all_of_class_0 = study.flows.replace(classes=np.zeros_like(study.flows.classes))
  masks_loss = dataclasses.replace(study, schedule=unclipped, flows=all_of_class_0)
  masks_features = dataclasses.replace(masks_loss, mask="features")
  ours, theirs = (
    METHODS["multitask"](one, drawn, jnp.ones(1), drawn.test)["class"][0]
    for one in (masks_loss, masks_features)
  )
  bias = theirs - ours
  np.testing.assert_allclose(bias, np.tile(bias[0], (len(bias), 1)), atol=1e-3)
  assert bias[0, 0] > 0.1 > -0.1 > bias[0, 1]
