import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mtl_traffic import encoding, losses, models, training
from mtl_traffic.training import Schedule

K, N = 8, 40
HEADS = (("bandwidth", 3), ("class", 2))
MODEL = models.MultitaskCNN(HEADS)
LOOP = {"model": MODEL, "batch_size": 16, "steps_per_epoch": 3}
INPUTS = jax.random.normal(jax.random.key(1), (N, K, 2))
TARGETS = {
  "bandwidth": jax.random.randint(jax.random.key(2), (N,), 0, 3),
  "class": jnp.where(jnp.arange(N) < 6, jnp.arange(N) % 2, -1),
}


@pytest.fixture
def state():
  return training.init_state(jax.random.key(0), (K, 2), model=MODEL)


def _weights(lambda_: float = 1.0):
  return {"bandwidth": jnp.array(1.0), "class": jnp.array(lambda_)}


def _assignment(lambda_: float = 1.0, **fields):
  return training.Assignment(
    key=jax.random.key(5),
    members=jnp.arange(N),
    num_members=jnp.array(N),
    targets=TARGETS,
    weights=_weights(lambda_),
    learning_rate=jnp.array(1e-3),
    clip_norm=jnp.array(1.0),
  ).replace(**fields)


TRAIN = jax.jit(
  training.train_epochs,
  static_argnames=(*LOOP, "shortest_prefix", "frozen", "balancing"),
)


def _train(state, epochs, assignment, inputs=INPUTS, **options):
  numbers = jnp.arange(1, epochs + 1)
  return TRAIN(state, numbers, assignment, inputs, **LOOP | options)


def _assert_equal(left, right, **tolerance):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 0})),
    left,
    right,
  )


def test_step_is_adam_on_the_clipped_gradient_of_the_objective(state):
  def objective(params):
    logits = MODEL.apply({"params": params}, INPUTS)
    return losses.multitask_loss(logits, TARGETS, _weights(3.0))[0]

  gradient = jax.grad(objective)(state.params)
  norm = optax.tree.norm(gradient)
  learning_rate = 3e-3
  # Adam's first step is the learning rate times g / (|g| + ε), whatever its scale.
  expected = jax.tree.map(
    lambda p, g: p - learning_rate * (g / 2) / (jnp.abs(g / 2) + 1e-8),
    state.params,
    gradient,
  )
  after, _ = training.train_step(
    state, INPUTS, TARGETS, _weights(3.0), learning_rate, norm / 2, model=MODEL
  )
  _assert_equal(after.params, expected, atol=6e-5)


def test_no_gradient_reaches_the_class_head_from_unlabelled_flows(state):
  unlabelled = {**TARGETS, "class": jnp.full(N, -1)}
  after, parts = training.train_step(
    state, INPUTS, unlabelled, _weights(100.0), model=MODEL
  )
  _assert_equal(after.params["class_head"], state.params["class_head"])
  assert parts["class"] == 0
  assert float(jnp.abs(after.params["bandwidth_head"]["bias"]).max()) > 0


def test_lambda_zero_leaves_the_class_head_at_its_initial_values(state):
  after, _ = _train(state, 1, _assignment(0.0))
  _assert_equal(after.params["class_head"], state.params["class_head"])
  with pytest.raises(AssertionError):
    _assert_equal(after.params["trunk"], state.params["trunk"])


def test_lambda_zero_trains_the_trunk_as_if_there_were_no_class_task(state):
  with_zero, _ = _train(state, 1, _assignment(0.0))
  without, _ = _train(state, 1, _assignment(weights={"bandwidth": jnp.array(1.0)}))
  _assert_equal(with_zero.params["trunk"], without.params["trunk"], atol=5e-6)


def test_epochs_make_no_difference_in_how_many_calls_they_are_made(state):
  at_once, _ = _train(state, 3, _assignment())
  one_by_one = state
  for number in (1, 2, 3):
    one_by_one, _ = TRAIN(
      one_by_one, jnp.array([number]), _assignment(), INPUTS, **LOOP
    )
  _assert_equal(at_once.params, one_by_one.params, atol=1e-6)


def test_training_fits_what_can_be_fitted(state):
  _, parts = _train(state, 60, _assignment(10.0))
  assert parts["bandwidth"].shape == (60,)
  assert parts["bandwidth"][-1] < 0.1 * parts["bandwidth"][0]
  assert parts["class"][-1] < 0.1 * parts["class"][0]


def test_walk_takes_every_member_once_a_round_in_changing_order():
  members = jnp.array([7, 3, 9, 5, 0, 0, 0])
  walk = np.asarray(
    training.shuffled_walk(jax.random.key(0), members, jnp.array(4), 2000)
  )
  rounds = walk.reshape(500, 4)
  np.testing.assert_array_equal(np.sort(rounds, axis=1), [[3, 5, 7, 9]] * 500)
  assert len({tuple(order) for order in rounds}) == 24  # All orders of four.


def test_walk_may_end_within_a_round():
  walk = training.shuffled_walk(jax.random.key(0), jnp.arange(10), jnp.array(10), 7)
  assert len(set(walk.tolist())) == 7


def test_steps_of_an_epoch_cover_all_flows():
  assert Schedule(batch_size=64).steps_per_epoch(64) == 1
  assert Schedule(batch_size=64).steps_per_epoch(65) == 2


def test_prefixes_from_the_last_packet_on_are_whole_flows(state):
  whole, _ = _train(state, 1, _assignment(), shortest_prefix=K)
  plain, _ = _train(state, 1, _assignment())
  _assert_equal(whole.params, plain.params, atol=1e-6)


def test_every_time_a_flow_is_shown_it_is_cut_after_another_packet(state, monkeypatch):
  counts = []

  def recording_cut(inputs, prefixes):
    jax.debug.callback(lambda seen: counts.append(np.asarray(seen)), prefixes)
    return cut(inputs, prefixes)

  cut = encoding.cut
  monkeypatch.setattr(encoding, "cut", recording_cut)
  short, _ = _train(state, 10, _assignment(), shortest_prefix=2)
  jax.effects_barrier()
  assert np.shape(counts) == (30, 16)
  assert set(np.ravel(counts)) == set(range(2, K + 1))
  assert len({tuple(batch) for batch in counts}) == 30
  plain, _ = _train(state, 10, _assignment())
  with pytest.raises(AssertionError):
    _assert_equal(short.params, plain.params, atol=1e-6)


def test_a_larger_learning_rate_moves_the_parameters_farther(state):
  def moved(learning_rate):
    after, _ = _train(state, 1, _assignment(learning_rate=learning_rate))
    return optax.tree.norm(optax.tree.sub(after.params, state.params))

  assert moved(1e-2) > 3 * moved(1e-3) > 9 * moved(1e-4) > 0


def test_frozen_parts_keep_their_parameters(state):
  frozen = {"frozen": ("trunk",)}
  state = training.init_state(jax.random.key(0), (K, 2), model=MODEL, **frozen)
  after, _ = _train(state, 1, _assignment(), **frozen)
  _assert_equal(after.params["trunk"], state.params["trunk"])
  with pytest.raises(AssertionError):
    _assert_equal(after.params["class_head"], state.params["class_head"])


def test_losses_of_an_epoch_are_means_over_the_flows_that_have_a_target(state):
  # In steps as short as these, every flow is seen once by the network as it began.
  standing = _assignment(learning_rate=jnp.array(1e-12))
  _, parts = _train(state, 1, standing, batch_size=20, steps_per_epoch=2)
  logits = MODEL.apply(state.variables, INPUTS)
  for task, target in TARGETS.items():
    known = np.asarray(target) >= 0
    log_probabilities = jax.nn.log_softmax(logits[task])[known]
    right = np.take_along_axis(log_probabilities, target[known][:, None], axis=1)
    np.testing.assert_allclose(parts[task], [-np.mean(right)], rtol=1e-5)


def test_a_run_stops_after_epochs_in_a_row_with_small_losses(state, monkeypatch):
  monkeypatch.setattr(training, "CONVERGED_LOSS", 1e9)  # Of any epoch, that is.
  monkeypatch.setattr(training, "CONVERGED_STEPS", 3 * LOOP["steps_per_epoch"])

  def train(epochs):
    return training.train_epochs(
      state, jnp.arange(1, epochs + 1), _assignment(), INPUTS, **LOOP
    )

  after_three, _ = train(3)
  assert after_three.has_converged
  after_five, parts = train(5)
  _assert_equal(after_five, after_three)
  for losses_of_epochs in parts.values():
    np.testing.assert_array_equal(np.isnan(losses_of_epochs), [0, 0, 0, 1, 1])
  # Shorter epochs must be more.
  monkeypatch.setattr(training, "CONVERGED_STEPS", 4 * LOOP["steps_per_epoch"])
  after_five, parts = train(5)
  for losses_of_epochs in parts.values():
    np.testing.assert_array_equal(np.isnan(losses_of_epochs), [0, 0, 0, 0, 1])


@pytest.mark.parametrize(("left", "epochs_below"), [([], 3), (["bandwidth"], 0)])
def test_a_run_stops_when_no_task_is_left_to_learn(
  state, left, epochs_below, monkeypatch
):
  monkeypatch.setattr(training, "CONVERGED_STEPS", 3 * LOOP["steps_per_epoch"])
  none = jnp.full(N, -1)  # What has no target has no loss.
  targets = {task: TARGETS[task] if task in left else none for task in TARGETS}
  after, _ = _train(state, 3, _assignment(targets=targets))
  assert after.steps_below == epochs_below * LOOP["steps_per_epoch"]
  assert after.has_converged == (not left)


def test_an_epoch_with_a_larger_loss_begins_the_count_anew(state):
  after, _ = _train(state.replace(steps_below=jnp.array(200)), 1, _assignment())
  assert after.steps_below == 0


def test_losses_are_weighted_by_lambda_before_they_are_balanced(state):
  # Of variances of 1, "uncertainty" has the gradient of the sum; nothing is clipped.
  learning = {"learning_rate": 1e-3, "clip_norm": 1e9, "model": MODEL}
  batch = INPUTS, TARGETS, _weights(30.0)
  begun = training.init_state(
    jax.random.key(0), (K, 2), model=MODEL, balancing="uncertainty", num_tasks=2
  )
  by_sum, _ = training.train_step(state, *batch, **learning)
  balanced, _ = training.train_step(begun, *batch, **learning, balancing="uncertainty")
  _assert_equal(balanced.variables["params"], by_sum.params, atol=1e-6)
  unweighted, _ = training.train_step(
    begun, INPUTS, TARGETS, _weights(), **learning, balancing="uncertainty"
  )
  with pytest.raises(AssertionError):
    _assert_equal(unweighted.variables["params"], by_sum.params, atol=1e-6)


def test_every_step_has_random_weights_of_its_own(state):
  assignment = _assignment()
  key = jax.random.fold_in(assignment.key, 1)
  walk = training.shuffled_walk(key, assignment.members, assignment.num_members, 48)
  keys = jax.random.split(jax.random.fold_in(key, 1), 3)
  by_hand = state
  for flows, of_step in zip(walk.reshape(3, 16), keys, strict=True):
    targets = {task: TARGETS[task][flows] for task in TARGETS}
    by_hand, _ = training.train_step(
      by_hand,
      INPUTS[flows],
      targets,
      _weights(),
      1e-3,
      1.0,
      of_step,
      model=MODEL,
      balancing="random",
    )
  after, _ = _train(state, 1, assignment, balancing="random")
  _assert_equal(after.params, by_hand.params, atol=1e-5)
