import dataclasses
import functools

import jax
import numpy as np
import pytest

from mtl_traffic import encoding, evaluation
from mtl_traffic.draws import each_run
from mtl_traffic.methods import ABLATIONS
from mtl_traffic.methods.whole_flow_distillation import columns

NAME = "whole_flow_distillation"


@pytest.fixture
def taught(make, problem_of, draw):
  """What the student is to learn of a draw, and the draw."""

  def taught(labels, flows=None):
    method = make(NAME)
    problem = problem_of(method) if flows is None else problem_of(method, flows)
    (one,) = each_run(draw(labels))
    inputs = np.asarray(problem.inputs)[np.asarray(one.train)]
    return method._targets(problem, one, inputs, seed=0), one

  return taught


def test_classes_weigh_alike_and_labelled_flows_are_of_one_class(taught):
  targets, one = taught(4)
  np.testing.assert_allclose(targets["class"].sum(axis=0), len(one.train) / 3)
  flows, labels = one.labelled()
  assert len(flows) == 12
  is_of = targets["class"][:12] > 0
  np.testing.assert_array_equal(is_of, np.eye(3)[labels] > 0)


def test_bandwidth_and_duration_are_those_of_the_draw(taught):
  targets, one = taught(4)
  for task in ("bandwidth", "duration"):
    expected = np.asarray(one.targets[task])[np.asarray(one.train)]
    np.testing.assert_array_equal(targets[task].argmax(axis=1), expected)
    np.testing.assert_array_equal(targets[task].sum(axis=1), expected >= 0)


def test_the_teacher_sees_whole_flows_and_the_student_first_packets(
  make, problem_of, draw, fit, flows
):
  method, drawn = make(NAME), draw(6)
  problem = problem_of(method)
  parameters = fit(method, problem, drawn)
  longer = flows.replace(durations=flows.durations[::-1].copy())
  other = fit(method, dataclasses.replace(problem, flows=longer), drawn)
  scores, others = (
    np.asarray(method.ask(p, problem.inputs, drawn.test)["class"])
    for p in (parameters, other)
  )
  assert not np.allclose(scores, others)
  truth = flows.classes[np.asarray(drawn.test[0])]
  assert evaluation.accuracy(scores[0], truth) > 0.5


@pytest.fixture(scope="module")
def answered(make, problem_of, draw, fit):
  """The classes' scores of a method or an ablation, and the draw; fitted once each."""

  @functools.cache
  def answered(name):
    method, drawn = make(name), draw(6)
    problem = problem_of(method)
    parameters = fit(method, problem, drawn)
    return np.asarray(
      method.ask(parameters, problem.inputs, drawn.test)["class"]
    ), drawn

  return answered


@pytest.mark.parametrize("name", ABLATIONS)
def test_without_one_part_it_says_something_else_and_learns_the_class(
  answered, flows, name
):
  without, drawn = answered(name)
  assert not np.allclose(without, answered(NAME)[0])
  truth = flows.classes[np.asarray(drawn.test[0])]
  assert evaluation.accuracy(without[0], truth) > 0.5


def test_without_unlabelled_flows_these_teach_nothing(make, problem_of, draw, fit):
  method, drawn = make(f"{NAME}_without_unlabelled_flows"), draw(6)
  problem = problem_of(method)
  others = np.setdiff1d(drawn.train[0], next(each_run(drawn)).labelled()[0])
  spoilt = dataclasses.replace(problem, inputs=problem.inputs.at[others].set(0))
  first, second = (fit(method, one, drawn) for one in (problem, spoilt))
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_columns_end_with_the_kth_packet(flows):
  changed = flows.packets.lengths + 100 * (np.arange(24) > 7)
  both = (flows.packets, flows.packets.replace(lengths=changed.astype(np.int32)))
  first, second = (columns(encoding.first_packets(packets, 8)) for packets in both)
  np.testing.assert_array_equal(first, second)
  assert first.shape == (len(flows), 8 + 8 + 3 * 62 + 81)


def test_where_nothing_is_known_every_class_is_as_likely(make, problem_of, draw, fit):
  method, drawn = make(NAME), draw(6)
  # No flow has a duration, say.
  targets = drawn.targets | {"duration": 0 * drawn.targets["duration"] - 1}
  problem = problem_of(method)
  parameters = fit(method, problem, drawn.replace(targets=targets))
  scores = np.asarray(method.ask(parameters, problem.inputs, drawn.test)["duration"])
  np.testing.assert_allclose(np.exp(scores), 1 / scores.shape[-1], rtol=1e-5)
