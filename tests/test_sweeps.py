import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import draws, encoding, models, placement, sweeps, training
from mtl_traffic.training import Assignment, Schedule

MODEL = models.MultitaskCNN((("bandwidth", 3), ("duration", 3), ("class", 3)))
SCHEDULE = Schedule(epochs=2, batch_size=16)
STEPS = 3
LOOP = {"batch_size": SCHEDULE.batch_size, "steps_per_epoch": STEPS}


@pytest.fixture
def inputs(flows):
  return encoding.encode(flows.packets, k=8)


@pytest.fixture
def assign(flows):
  table = draws.flow_table(flows, np.ones(len(flows), bool))

  def assign(seeds, labels, lambdas, **fields) -> Assignment:
    drawn = draws.draw_many(
      table,
      jnp.array(seeds),
      jnp.array(labels),
      test_per_class=5,
      validation_per_class=5,
    )
    one = jnp.ones(len(seeds))
    return Assignment(
      key=drawn.key,
      members=drawn.train,
      num_members=jnp.full(len(seeds), drawn.train.shape[1]),
      targets=drawn.targets,
      weights={"bandwidth": one, "duration": one, "class": jnp.array(lambdas)},
      learning_rate=1e-3 * one,
      clip_norm=one,
    ).replace(**{name: jnp.array(values) for name, values in fields.items()})

  return assign


def _fit(assignments, inputs, **arguments):
  return sweeps.fit(
    assignments,
    inputs,
    model=MODEL,
    schedule=SCHEDULE,
    steps_per_epoch=STEPS,
    **arguments,
  )


def _assert_close(left, right, atol):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), left, right)


def _run(tree, index):
  return jax.tree.map(lambda leaf: leaf[index], tree)


def test_a_sweep_over_seeds_budgets_and_lambdas_compiles_once(assign, inputs):
  before = sweeps._train_epochs._cache_size()
  _fit(assign([0, 1], [2, 4], [1.0, 1.0]), inputs)
  after = sweeps._train_epochs._cache_size()
  _fit(assign([7, 8], [9, draws.ALL_LABELS], [0.1, 1000.0]), inputs)
  assert sweeps._train_epochs._cache_size() == after
  assert after == before + 1


def test_a_sweep_over_learning_rates_and_clip_norms_compiles_once(assign, inputs):
  def fit(learning_rates, clip_norms):
    rates = {"learning_rate": learning_rates, "clip_norm": clip_norms}
    variables = _fit(assign([0, 0], [4, 4], [1.0, 1.0], **rates), inputs)
    return [_run(variables, index) for index in range(2)]

  slow, fast = fit([1e-4, 3e-3], [1.0, 1.0])
  compiled = sweeps._train_epochs._cache_size()
  loose, tight = fit([1e-4, 1e-4], [1.0, 1e-6])
  assert sweeps._train_epochs._cache_size() == compiled
  _assert_close(slow, loose, atol=0)
  for other in (fast, tight):
    with pytest.raises(AssertionError):
      _assert_close(slow, other, atol=1e-5)


@pytest.mark.parametrize("together", [1, 2, 3])
def test_mapped_runs_equal_runs_in_a_loop(assign, inputs, together):
  assignments = assign([3, 4, 5], [2, 4, 6], [1.0, 10.0, 0.0])
  variables = _fit(assignments, inputs, together=together)
  for index in range(3):
    one = _run(assignments, index)
    state = training.init_state(one.key, inputs.shape[1:], model=MODEL)
    state, _ = training.train_epochs(
      state,
      jnp.arange(1, SCHEDULE.epochs + 1),
      one,
      inputs,
      model=MODEL,
      **LOOP,
    )
    _assert_close(_run(variables, index), state.variables, atol=1e-5)


def test_one_after_the_other_a_run_is_the_same_bit_by_bit_in_any_company(
  assign, inputs
):
  alone = _fit(assign([4], [5], [1.0]), inputs, together=1)
  among = _fit(assign([1, 4, 9], [2, 5, 7], [9.0, 1.0, 3.0]), inputs, together=1)
  _assert_close(_run(alone, 0), _run(among, 1), atol=0)


def test_progress_is_told_once_an_epoch(assign, inputs):
  calls = []
  _fit(assign([0], [3], [1.0]), inputs, on_epoch=lambda: calls.append(1))
  assert len(calls) == SCHEDULE.epochs


@pytest.mark.parametrize(("left", "calls"), [([], 3), ([1], 5)])
def test_training_ends_with_the_last_run_that_has_something_to_learn(
  assign, inputs, monkeypatch, left, calls
):
  train, told, trained = sweeps._train_epochs, [], []

  def counting_train(*args, **static):
    trained.append(1)
    return train(*args, **static)

  monkeypatch.setattr(sweeps, "_train_epochs", counting_train)
  assignments = assign([0, 1], [3, 3], [1.0, 1.0])
  has_targets = np.isin([0, 1], left)[:, None]
  targets = {
    task: jnp.where(has_targets, target, -1)
    for task, target in assignments.targets.items()
  }
  sweeps.fit(
    assignments.replace(targets=targets),
    inputs,
    model=MODEL,
    schedule=Schedule(epochs=5, batch_size=16),
    steps_per_epoch=90,  # Three epochs have the steps that a run must stand still.
    on_epoch=lambda: told.append(1),
  )
  assert len(trained) == calls
  assert len(told) == 5  # Progress is whole, however training ends.


@pytest.mark.parametrize("together", [1, 2])
def test_predictions_are_the_models_for_the_flows_asked_about(assign, inputs, together):
  variables = _fit(assign([0, 1], [3, 3], [1.0, 1.0]), inputs)
  queries = jnp.array([[5, 6, 7], [80, 0, 5]])
  logits = sweeps.predict(variables, inputs, queries, model=MODEL, together=together)
  for index in range(2):
    expected = MODEL.apply(_run(variables, index), inputs[queries[index]])
    _assert_close(_run(logits, index), expected, atol=1e-5)


def test_runs_end_with_the_epoch_of_their_best_mark(assign, inputs):
  assignments = assign([0, 1], [3, 3], [1.0, 1.0])
  marks = iter([jnp.array([2.0, 1.0]), jnp.array([1.0, 2.0])])
  chosen = _fit(assignments, inputs, score=lambda variables: next(marks))
  first = sweeps.fit(
    assignments,
    inputs,
    model=MODEL,
    schedule=Schedule(epochs=1, batch_size=16),
    steps_per_epoch=STEPS,
  )
  _assert_close(_run(chosen, 0), _run(first, 0), atol=1e-6)
  _assert_close(_run(chosen, 1), _run(_fit(assignments, inputs), 1), atol=1e-6)


def _out_of_memory(*args, **kwargs):
  raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")


def test_runs_that_a_device_cannot_hold_together_are_trained_by_halves(
  assign, inputs, monkeypatch
):
  assignments = assign([0, 1, 2, 3], [2, 2, 2, 2], [1.0, 1.0, 1.0, 1.0])
  expected = _fit(assignments, inputs, together=1)
  train, tried, told = sweeps._train_epochs, [], []

  def train_few(*args, together, **static):
    tried.append(together)
    # The third call is in the midst of a training.
    if together > 1 or len(tried) == 3:
      _out_of_memory()
    return train(*args, together=together, **static)

  monkeypatch.setattr(sweeps, "_train_epochs", train_few)
  with pytest.raises(jax.errors.JaxRuntimeError):
    _fit(assignments, inputs, together=4)
  assert tried == [4, 2, 1]
  variables = _fit(assignments, inputs, together=4, on_epoch=lambda: told.append(1))
  assert tried[3:5] == [4, 2]
  assert len(told) == SCHEDULE.epochs
  _assert_close(variables, expected, atol=0)


def test_a_runs_memory_is_that_of_its_state_and_batches(assign, inputs):
  assignments, mesh = assign([0, 1], [2, 2], [1.0, 1.0]), placement.runs_mesh()

  def needed(batch_size):
    return sweeps._memory_of_run(
      assignments,
      inputs,
      mesh,
      {"model": MODEL, "frozen": ()},
      {**LOOP, "batch_size": batch_size, "shortest_prefix": None},
    )

  params = MODEL.init(jax.random.key(0), inputs[:1])["params"]
  # Parameters and Adam's two moments.
  state = 3 * sum(leaf.nbytes for leaf in jax.tree.leaves(params))
  assert state < needed(16) < needed(512) - 400 * inputs[0].nbytes


def test_parts_that_a_network_starts_from_are_kept_where_they_are_frozen(
  assign, inputs
):
  assignments = assign([0, 1], [3, 3], [1.0, 1.0])
  trunk = _fit(assignments, inputs)["params"]["trunk"]
  variables = _fit(assignments, inputs, start={"trunk": trunk}, frozen=("trunk",))
  _assert_close(variables["params"]["trunk"], trunk, atol=0)


def test_whatever_has_apply_can_be_asked():
  class Sum:
    def apply(self, parameters, inputs):
      return {"class": parameters + jnp.sum(inputs, axis=1, keepdims=True)}

  scores = sweeps.predict(
    jnp.array([[0.0], [100.0]]),
    jnp.array([[1.0, 2.0], [3.0, 4.0]]),
    jnp.array([[0, 1, 1], [1, 0, 0]]),
    model=Sum(),
  )
  np.testing.assert_array_equal(scores["class"][..., 0], [[3, 7, 7], [107, 103, 103]])
