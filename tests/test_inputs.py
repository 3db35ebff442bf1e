import jax.numpy as jnp
import numpy as np
import pytest

from mtl_traffic import draws, encoding, inputs
from mtl_traffic.errors import InputError
from mtl_traffic.inputs import Inputs
from mtl_traffic.methods import METHODS, Multitask, RandomForest, SingleTask
from mtl_traffic.runs import Run
from mtl_traffic.settings import Settings

SETTINGS = Settings(test_per_class=5, validation_per_class=4, k=8, epochs=3)


def _run(**fields):
  return Run(**{"method": "multitask", "labels_per_class": 6, "seed": 0} | _K | fields)


_K = {"k": 8, "packets": 8}


def test_a_problem_has_what_its_runs_share(flows):
  run = _run(tasks=("bursts",), duration_dividers=(0.1, 0.2, 0.3))
  method, problem = Inputs(SETTINGS, flows, [run]).problem(run)
  assert method == Multitask(epochs=3, tasks=("bursts",))
  assert problem.num_classes == {"bandwidth": 3, "duration": 4, "bursts": 3, "class": 3}
  np.testing.assert_allclose(
    problem.inputs, encoding.encode(flows.packets, 8), rtol=1e-6
  )


def test_runs_are_asked_after_as_many_packets_as_they_say(flows):
  run = _run(packets=5, shortest_prefix=3)
  given = Inputs(SETTINGS, flows, [run])
  method, problem = given.problem(run)
  shown = given.shown(method, run)
  assert shown.shape == problem.inputs.shape
  np.testing.assert_array_equal(shown[:, :5], problem.inputs[:, :5])
  assert not shown[:, 5:].any()
  assert np.asarray(problem.inputs)[:, 5:].any()


def test_draws_are_those_of_the_runs(flows):
  runs = [
    _run(seed=seed, labels_per_class=labels, duration_dividers=(dividers, 1.0))
    for seed, labels, dividers in ((3, 2, 0.1), (4, "all", 0.2))
  ]
  given = Inputs(SETTINGS, flows, runs)
  drawn = given.draw(runs)
  sizes = {"test_per_class": 5, "validation_per_class": 4}
  for index, (seed, labels) in enumerate(((3, 2), (4, draws.ALL_LABELS))):
    expected = draws.draw(given.table, seed, labels, **sizes)
    np.testing.assert_array_equal(drawn.train[index], expected.train)
    assert drawn.num_labelled[index] == expected.num_labelled
  np.testing.assert_allclose(drawn.dividers["duration"], [[0.1, 1], [0.2, 1]])


def test_flows_are_those_of_the_training_partition_that_are_long_enough(flows):
  flows = flows.replace(
    partitions=np.repeat([0, 1, 2], [81, 9, 0]).astype(np.int32),
    partition_names=("training", "other", "empty"),
    num_packets=np.where(np.arange(90) < 3, 2, 20),
  )
  settings = SETTINGS.replace(train_partition="training", min_packets=3)
  given = Inputs(settings, flows, [_run()])
  assert len(given.flows) == 87
  assert given.table.num_eligible == 78
  assert given.table.class_sizes == (26, 26, 26)
  assert set(given.others) == {"other"}
  np.testing.assert_array_equal(given.others["other"], np.arange(78, 87))


@pytest.mark.parametrize(
  ("changes", "fields", "message"),
  [
    ({"train_partition": "x"}, {}, "no partition 'x'; they have training; 'all'"),
    ({"min_packets": 10**6}, {}, "min_packets: no flows are left; none has 1000000"),
    (
      {"test_per_class": 30},
      {},
      "'a' has 30, 'b' has 30, 'c' has 30; of each class 30 test",
    ),
    ({}, {"k": 5, "packets": 5}, "k = 5 packets are too few for multitask"),
    ({}, {"method": "cnn_rnn"}, "k = 8 packets are too few for cnn_rnn"),
    ({}, {"method": "svm"}, "method 'svm' is unknown"),
    ({}, {"mask": "x"}, "mask: 'x' is unknown"),
    ({}, {"lambda_": -1.0}, "lambda: -1.0 must be 0 to 1e+09"),
    ({}, {"lambda_": float("nan")}, "lambda: nan must be 0 to 1e+09"),
    ({}, {"tasks": ("x",)}, "tasks: 'x' is unknown; there are bandwidth"),
    ({}, {"tasks": ("bursts", "bursts")}, "must name each once"),
    ({}, {"bandwidth_dividers": (2.0, 1.0)}, "must be finite, each above the last"),
    ({}, {"duration_dividers": (1.0, np.inf)}, "must be finite, each above the last"),
    ({}, {"packets": 5}, "packets: 5 is not k = 8; only a model that is trained on"),
    ({}, {"shortest_prefix": 9}, "shortest_prefix: 9 must be 1 to 8"),
    (
      {},
      {"method": "random_forest_online", "shortest_prefix": 3},
      "shortest_prefix: random_forest_online does not learn from prefixes",
    ),
  ],
)
def test_what_cannot_be_is_refused_in_one_line(flows, changes, fields, message):
  with pytest.raises(InputError) as error:
    Inputs(SETTINGS.replace(**changes), flows, [_run(), _run(**fields)])
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_a_method_has_the_runs_fields_before_the_settings():
  run = _run(method="single_task", signed_lengths=False, mask="features")
  settings = SETTINGS.replace(batch_size=7, shortest_prefix=2, iat_range=(-1.0, 1.0))
  assert inputs.make_method(run, settings) == SingleTask(
    epochs=3, batch_size=7, iat_range=(-1.0, 1.0), signed_lengths=False
  )


def test_hyperparameters_are_those_that_the_method_reads():
  runs = [_run(lambda_=1.0), _run(lambda_=3.0, learning_rate=0.5)]
  read = inputs.hyperparameters(Multitask(), runs)
  assert {name: values.tolist() for name, values in read.items()} == {
    "lambda_": [1, 3],
    "learning_rate": [pytest.approx(1e-3), 0.5],
    "clip_norm": [1, 1],
  }
  assert inputs.hyperparameters(RandomForest(), runs) == {}


@pytest.mark.parametrize("name", METHODS)
def test_blocks_make_no_difference_to_what_is_read(flows, monkeypatch, name):
  method = METHODS[name]()
  whole = inputs.read(method, flows, 12)
  assert isinstance(whole, jnp.ndarray) and len(whole) == 90
  monkeypatch.setattr(inputs, "_FLOWS_AT_ONCE", 40)
  np.testing.assert_allclose(whole, inputs.read(method, flows, 12), rtol=1e-6)
  assert inputs.read(method, flows[:0], 12).shape == (0, *whole.shape[1:])


def test_a_method_of_whole_flows_reads_all_that_is_stored(flows):
  method = RandomForest()
  np.testing.assert_array_equal(
    inputs.read(method, flows, 8), inputs.read(method, flows, 14)
  )
  np.testing.assert_array_equal(
    inputs.read(method, flows, 8, 3), inputs.read(method, flows, 14)
  )


def test_chosen_labels_are_suggested_once_a_seed(flows, monkeypatch):
  runs = [
    _run(method=method, seed=seed, labels_per_class=labels, labelling="chosen")
    for method in ("random_forest_online", "nearest_neighbor")
    for seed in (0, 1)
    for labels in (1, 3)
  ]
  asked, suggest = [], inputs.labelling.suggest

  def spy(columns, number, labelled, seed):
    asked.append((number, seed))
    return suggest(columns, number, labelled, seed)

  monkeypatch.setattr(inputs.labelling, "suggest", spy)
  given = Inputs(SETTINGS, flows, runs)
  drawn = given.draw(runs[:4]), given.draw(runs[4:])
  assert asked == [(9, 0), (9, 1)]  # 3 labels of 3 classes.
  for of_method in drawn:
    assert of_method.num_labelled.tolist() == [3, 9, 3, 9]
    few, many = (
      set(np.asarray(of_method.train[i, :n]).tolist()) for i, n in ((0, 3), (1, 9))
    )
    train = np.sort(np.asarray(of_method.train[0]))
    columns = inputs.labelling.columns(flows[train])
    best = suggest(columns, 3, np.zeros(len(train), bool), 0)
    assert few == set(train[[one.flow for one in best]].tolist()) and few < many
