import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic.balancing import BALANCINGS
from mtl_traffic.errors import InputError


def test_lambda_zero_leaves_the_class_head_as_it_began(make, problem_of, draw, fit):
  method, drawn = make("multitask", epochs=1), draw(8)
  params = fit(method, problem_of(method), drawn, {"lambda_": 0.0})["params"]
  assert not np.asarray(params["class_head"]["bias"]).any()
  assert np.asarray(params["bandwidth_head"]["bias"]).any()


def test_other_tasks_can_be_learnt_or_none(make, problem_of, draw, fit):
  drawn = draw(8)
  alone = make("multitask", epochs=1, tasks=())
  assert alone.answered == ("class",)
  parameters = fit(alone, problem_of(alone), drawn)
  assert set(parameters["params"]) == {"trunk", "class_head"}


def test_a_mask_on_the_features_lets_unlabelled_flows_teach_the_class_bias(
  make, problem_of, draw, fit, flows
):
  # No flow has a label. All else being equal, as without clipping it is, what the class
  # head says differs by its bias alone.
  drawn = draw(4)
  drawn.targets["class"] = jnp.full_like(drawn.targets["class"], -1)
  all_of_class_0 = flows.replace(classes=np.zeros_like(flows.classes))

  def scores(mask):
    method = make("multitask", mask=mask)
    problem = problem_of(method, all_of_class_0)
    hyperparameters = {"lambda_": 1.0, "clip_norm": 1e9}
    parameters = fit(method, problem, drawn, hyperparameters)
    return np.asarray(method.ask(parameters, problem.inputs, drawn.test)["class"][0])

  bias = scores("features") - scores("loss")
  np.testing.assert_allclose(bias, np.tile(bias[0], (len(bias), 1)), atol=1e-3)
  assert bias[0, 0] > 0.1 > -0.1 > bias[0, 1]


def test_runs_differ_by_their_lambda_alone(make, problem_of, draw):
  method = make("multitask", epochs=1)
  drawn = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * 3), draw(8))
  lambdas = jnp.array([1.0, 100.0, 1.0])
  others = {"learning_rate": jnp.full(3, 1e-3), "clip_norm": jnp.ones(3)}
  parameters = method.fit(problem_of(method), drawn, {"lambda_": lambdas, **others})
  first, second, third = np.asarray(parameters["params"]["class_head"]["bias"])
  np.testing.assert_array_equal(first, third)
  assert np.abs(first - second).max() > 1e-5


def test_the_tasks_of_unlabelled_flows_teach(make, problem_of, draw, fit):
  method, drawn = make("multitask", epochs=1), draw(8)
  problem = problem_of(method)
  unlabelled = np.asarray(drawn.train[0, 24:])
  spoilt = dataclasses.replace(
    problem, inputs=problem.inputs.at[unlabelled].multiply(-1)
  )
  before, after = (
    fit(method, one, drawn)["params"]["trunk"]["Dense_1"]["bias"]
    for one in (problem, spoilt)
  )
  assert np.abs(before - after).max() > 1e-5


def test_every_balancing_learns_and_each_something_else(make, problem_of, draw, fit):
  drawn, truth = draw(8), None
  biases = []
  for balancing in BALANCINGS:
    method = make("multitask", balancing=balancing)
    problem = problem_of(method)
    parameters = fit(method, problem, drawn, {"lambda_": 1.0})
    # What "uncertainty" learns beside the network is no part of the model.
    names = {"trunk", "bandwidth_head", "duration_head", "class_head"}
    assert set(parameters["params"]) == names
    scores = method.ask(parameters, problem.inputs, drawn.test)["class"][0]
    truth = problem.flows.classes[np.asarray(drawn.test[0])]
    assert np.mean(np.argmax(scores, axis=1) == truth) > 0.6
    biases.append(np.asarray(parameters["params"]["class_head"]["bias"]).round(6))
  assert len({bias.tobytes() for bias in biases}) == len(BALANCINGS)


def test_a_balancing_that_cannot_be_is_named(make):
  with pytest.raises(InputError, match="'sums' is unknown; there are sum, uncert"):
    make("multitask", balancing="sums")
  with pytest.raises(InputError, match="'pcgrad' needs the mask on the 'loss'"):
    make("multitask", balancing="pcgrad", mask="features")
