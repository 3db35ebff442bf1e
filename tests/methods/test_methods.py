"""What holds for every method."""

import dataclasses
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import encoding, evaluation, methods
from mtl_traffic.draws import each_run
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Packets
from mtl_traffic.methods import ABLATIONS, METHODS
from mtl_traffic.tasks import MAIN_TASKS

EVERY = pytest.mark.parametrize("name", METHODS)

_NETWORK = {"epochs", "batch_size", "dtype"}
_ON_PACKETS = _NETWORK | {"iat_range", "signed_lengths", "shortest_prefix"}
_STEPS = ("learning_rate", "clip_norm")
# What each method reads of the settings, and what may differ between its runs.
READ = {
  "multitask": (_ON_PACKETS | {"tasks", "mask", "balancing"}, ("lambda_", *_STEPS)),
  "single_task": (_ON_PACKETS | {"least_steps"}, _STEPS),
  "transfer": (_ON_PACKETS, _STEPS),
  "transfer_fine_tuned": (_ON_PACKETS, _STEPS),
  "cnn_rnn": (_ON_PACKETS | {"least_steps"}, _STEPS),
  "whole_flow_distillation": ({"parts"}, ()),
  "random_forest": (set(), ()),
  "random_forest_online": (set(), ()),
  "nearest_neighbor": ({"signed_lengths"}, ()),
  "nearest_neighbor_30_packets": ({"signed_lengths"}, ()),
}


@pytest.fixture(scope="module")
def fitted(make, problem_of, draw, fit):
  """Two runs of a method, fitted once for all tests."""

  @functools.cache
  def fitted(name):
    method, told = make(name), []
    problem, drawn = problem_of(method), draw(8, 6)
    parameters = fit(method, problem, drawn, progress=told.append)
    return SimpleNamespace(
      method=method, problem=problem, draws=drawn, parameters=parameters, told=told
    )

  return fitted


def _run(tree, index):
  return jax.tree.map(lambda leaf: leaf[index], tree)


def _assert_close(left, right, **tolerance):
  assert set(left) == set(right)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, **tolerance), dict(left), dict(right)
  )


@EVERY
def test_learns_the_class_of_flows_without_label(fitted, flows, name):
  one = fitted(name)
  everything = jnp.tile(jnp.arange(90), (2, 1))
  scores = one.method.ask(one.parameters, one.problem.inputs, everything)
  assert scores["class"].shape == (2, 90, 3)
  for run, draw in enumerate(each_run(one.draws)):
    labelled, _ = draw.labelled()
    targets = np.array(flows.classes)
    targets[labelled] = -1
    # A guess is right a third of the time.
    assert evaluation.accuracy(np.asarray(scores["class"][run]), targets) > 0.5


@EVERY
def test_progress_rises_to_one(fitted, name):
  told = fitted(name).told
  assert told == sorted(told)
  assert all(0 < fraction <= 1 for fraction in told)
  # A method without anything to wait for need not tell.
  assert told[-1] == pytest.approx(1) if told else "nearest_neighbor" in name


@EVERY
def test_parameters_are_arrays_with_the_runs_as_leading_axis(fitted, name):
  leaves = jax.tree.leaves(fitted(name).parameters)
  assert leaves
  assert all(isinstance(leaf, jax.Array) and len(leaf) == 2 for leaf in leaves)


@EVERY
def test_asking_runs_is_applying_each(fitted, name):
  one = fitted(name)
  queries = jnp.array([[3, 80, 3], [0, 5, 41]])
  asked = one.method.ask(one.parameters, one.problem.inputs, queries)
  for run in range(2):
    arguments = _run(one.parameters, run), one.problem.inputs[queries[run]]
    applied = one.method.apply(*arguments)
    assert {scores.dtype for scores in applied.values()} == {jnp.dtype("float32")}
    _assert_close(applied, jax.jit(one.method.apply)(*arguments), rtol=1e-4, atol=1e-5)
    _assert_close(applied, _run(asked, run), rtol=1e-4, atol=1e-5)


@EVERY
def test_answered_is_what_is_answered(fitted, name):
  one = fitted(name)
  scores = one.method.apply(_run(one.parameters, 0), one.problem.inputs[:2])
  assert set(scores) == set(one.method.answered)
  assert all(of_task.shape == (2, 3) for of_task in scores.values())
  alone = name in (
    "single_task",
    "transfer",
    "transfer_fine_tuned",
    "random_forest",
    "random_forest_online",
    "nearest_neighbor",
    "nearest_neighbor_30_packets",
  )
  assert one.method.answered == (() if alone else MAIN_TASKS) + ("class",)


@EVERY
def test_a_run_is_the_same_in_whatever_company(fitted, fit, name):
  one = fitted(name)
  drawn = jax.tree.map(lambda leaf: leaf[1:], one.draws)
  alone = fit(one.method, one.problem, drawn)
  among = jax.tree.map(lambda leaf: leaf[1:], one.parameters)
  queries = jnp.arange(90)[None]
  _assert_close(
    *(one.method.ask(run, one.problem.inputs, queries) for run in (alone, among)),
    rtol=1e-5,
    atol=1e-6,
  )


@EVERY
def test_uneven_draws_are_learnt_without_their_padding(
  make, problem_of, uneven_draw, fit, name
):
  """Whatever stands in the places that do not count, the run is the same."""
  drawn = uneven_draw
  assert drawn.num_train[0] < drawn.train.shape[1]
  places = jnp.arange(drawn.train.shape[1])
  other = jnp.where(places < drawn.num_train[:, None], drawn.train, 89)
  method = make(name, epochs=2)
  problem = problem_of(method)
  queries = jnp.tile(jnp.arange(90), (2, 1))
  scores = [
    method.ask(fit(method, problem, each), problem.inputs, queries)
    for each in (drawn, drawn.replace(train=other))
  ]
  assert all(np.isfinite(of_task).all() for of_task in scores[0].values())
  _assert_close(*scores, rtol=1e-5, atol=1e-6)


@EVERY
def test_a_run_does_not_know_what_it_may_not(fitted, problem_of, fit, flows, name):
  """The classes of flows without label, and what came after the first packets."""
  one = fitted(name)
  drawn = jax.tree.map(lambda leaf: leaf[:1], one.draws)
  labelled, _ = _run(drawn, 0).labelled()
  unlabelled = np.setdiff1d(np.arange(90), labelled)
  held_out = np.concatenate([drawn.test[0], drawn.validation[0]])

  def changed(leaf, where, change):
    leaf = np.array(leaf)
    leaf[where] = change(leaf[where])
    return leaf

  packets = flows.packets
  if not one.method.reads_whole_flows:
    later = np.zeros(packets.lengths.shape, bool)
    later[held_out, 16:] = True
    assert (packets.there & later).any()
    packets = packets.replace(
      times=changed(packets.times, later, lambda times: times + 100),
      lengths=changed(packets.lengths, later, lambda lengths: lengths + 700),
      directions=changed(packets.directions, later, lambda directions: -directions),
    )
  spoilt = flows.replace(
    packets=packets,
    classes=changed(flows.classes, unlabelled, lambda classes: (classes + 1) % 3),
    durations=changed(flows.durations, held_out, lambda durations: 99 + durations),
    num_bytes=changed(flows.num_bytes, held_out, lambda num_bytes: 7 * num_bytes),
    num_packets=changed(flows.num_packets, held_out, lambda packets: 9 + packets),
  )
  targets = {
    task: target.at[:, held_out].set((target[:, held_out] + 1) % 3)
    if task != "class"
    else target
    for task, target in drawn.targets.items()
  }
  problem = problem_of(one.method, spoilt)
  parameters = fit(one.method, problem, drawn.replace(targets=targets))
  before = jax.tree.map(lambda leaf: leaf[:1], one.parameters)
  _assert_close(
    one.method.ask(before, one.problem.inputs, drawn.test),
    one.method.ask(parameters, problem.inputs, drawn.test),
    rtol=1e-5,
    atol=1e-6,
  )


@EVERY
@pytest.mark.parametrize("num_packets", [1, 7])
def test_a_flow_that_is_cut_is_read_as_one_that_ends_there(
  make, flows, name, num_packets
):
  there = np.arange(24) < np.minimum(flows.packets.counts, num_packets)[:, None]
  ending = Packets(
    times=flows.packets.times * there,
    lengths=flows.packets.lengths * there,
    directions=flows.packets.directions * there,
    counts=there.sum(axis=1),
  )
  method = make(name)
  cut = method.inputs(encoding.first_packets(flows.packets, 16, num_packets))
  short = jax.jit(method.inputs)(encoding.first_packets(ending, 16))
  whole = method.inputs(encoding.first_packets(flows.packets, 16))
  np.testing.assert_allclose(cut, short, rtol=1e-5, atol=1e-5)
  assert cut.shape == whole.shape and not np.array_equal(cut, whole)


@EVERY
def test_what_a_method_does_not_read_is_not_its(name):
  method = METHODS[name]
  fields, hyperparameters = READ[name]
  assert {field.name for field in dataclasses.fields(method)} == fields
  assert method.hyperparameters == hyperparameters


@EVERY
def test_methods_are_equal_by_value(make, name):
  assert make(name) == make(name)
  assert hash(make(name)) == hash(make(name))
  others = [make(other) for other in METHODS if other != name]
  assert make(name) not in others


def test_methods_of_other_settings_differ(make):
  assert make("multitask") != make("multitask", mask="features")
  assert make("single_task", mask="features") == make("single_task")
  assert make("random_forest", k=5, learning_rate=3.0) == make("random_forest")


def test_methods_that_cannot_be_are_refused():
  with pytest.raises(InputError, match="method 'svm' is unknown; there are multitask"):
    methods.make("svm", {})
  with pytest.raises(
    InputError, match="mask: 'x' is unknown; there are loss, features"
  ):
    methods.make("multitask", {"mask": "x"})


def test_an_ablation_lacks_its_part(make):
  for name in ABLATIONS:
    assert name.removeprefix("whole_flow_distillation_without_") not in make(name).parts
    assert make(name, parts=()) == make(name)


@pytest.mark.parametrize(
  "name", ["single_task", "random_forest", "random_forest_online", "nearest_neighbor"]
)
def test_what_learns_from_labels_alone_sees_no_other_flows(fitted, fit, name):
  one = fitted(name)
  drawn = jax.tree.map(lambda leaf: leaf[:1], one.draws)
  labelled, _ = _run(drawn, 0).labelled()
  others = np.setdiff1d(np.asarray(drawn.train[0]), labelled)
  spoilt = dataclasses.replace(
    one.problem, inputs=one.problem.inputs.at[others].set(1e6)
  )
  _assert_close(
    one.method.ask(fit(one.method, spoilt, drawn), spoilt.inputs, drawn.test),
    _run_of(one, 0, drawn.test),
    atol=0,
  )


def _run_of(one, index, queries):
  parameters = jax.tree.map(lambda leaf: leaf[index : index + 1], one.parameters)
  return one.method.ask(parameters, one.problem.inputs, queries)


@pytest.mark.parametrize(
  "name", [name for name, method in METHODS.items() if method.hyperparameters]
)
def test_a_network_keeps_the_epoch_that_scores_best(make, problem_of, draw, fit, name):
  drawn = draw(8)
  first, both = make(name, epochs=1), make(name, epochs=2)
  problem = problem_of(both)
  marks = iter(range(100, 0, -1))
  chosen = fit(both, problem, drawn, score=lambda _: jnp.full(1, float(next(marks))))
  _assert_close(
    *(
      method.ask(parameters, problem.inputs, drawn.test)
      for method, parameters in (
        (both, chosen),
        (first, fit(first, problem, drawn)),
      )
    ),
    rtol=1e-4,
    atol=1e-5,
  )
