"""Every method that reads only first packets: trained, kept, asked, exported."""

import dataclasses
import os
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest
from scipy import special

from mtl_traffic import encoding
from mtl_traffic.errors import InputError
from mtl_traffic.inputs import Inputs, hyperparameters
from mtl_traffic.methods import METHODS
from mtl_traffic.runs import label_budgets
from mtl_traffic.serving import checkpoints, trainer
from mtl_traffic.serving.predictor import Predictor, load_model
from mtl_traffic.settings import Settings

K, SHORTEST = 16, 5
SERVED = [name for name, method in METHODS.items() if not method.reads_whole_flows]
RANDOM = [name for name in SERVED if METHODS[name].is_random]
OF_PREFIXES = [name for name in SERVED if METHODS[name].learns_prefixes]


@pytest.fixture(scope="module", autouse=True)
def quick_compiler():
  """Programs that run once need not be fast."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


def settings_of(name, validation_per_class=0):
  return Settings(
    methods=(name,),
    labels_per_class=(10,),
    num_seeds=1,
    first_seed=3,
    k=K,
    epochs=1,
    least_steps=0,
    batch_size=32,
    test_per_class=6,
    validation_per_class=validation_per_class,
  )


def train(flows, name, validation_per_class=0, shortest_prefix=None, **options):
  """A model, and what it was trained from."""
  settings = settings_of(name, validation_per_class)
  (run,) = label_budgets(settings)
  run = dataclasses.replace(run, shortest_prefix=shortest_prefix)
  inputs = Inputs(settings, flows, [run])
  return run, inputs, trainer.train(settings, inputs, run, **options)


@pytest.fixture(scope="module")
def models(flow_maker):
  """Calibrated models of each method: ensembles and of prefixes, where that can be."""
  trained = {}

  def model(name):
    if name not in trained:
      *_, trained[name] = train(
        flow_maker(),
        name,
        validation_per_class=3,
        shortest_prefix=SHORTEST if name in OF_PREFIXES else None,
        num_members=2 if name in RANDOM else 1,
      )
    return trained[name]

  return model


@pytest.mark.parametrize("name", SERVED)
def test_a_model_to_keep_answers_as_the_run_of_a_comparison(flows, name):
  run, inputs, (description, parameters, draw) = train(flows, name)
  method, problem = inputs.problem(run)
  draws = inputs.draw([run])
  np.testing.assert_array_equal(draw.test, draws.test[0])
  fitted = method.fit(problem, draws, hyperparameters(method, [run]))
  scores = method.ask(fitted, inputs.shown(method, run), draws.test)
  answers = Predictor(description, parameters)(flows[np.asarray(draw.test)])
  assert set(answers.probabilities) == set(scores) == set(method.answered)
  for task, probabilities in answers.probabilities.items():
    assert description.temperatures[task] == 1.0
    expected = special.softmax(np.asarray(scores[task][0], np.float64), axis=-1)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("name", SERVED)
def test_validation_flows_calibrate_a_model(models, flows, name):
  description, parameters, draw = models(name)
  assert len(draw.validation) == 9
  assert all(0 < t < np.inf for t in description.temperatures.values())
  assert any(t != 1 for t in description.temperatures.values())
  answers = Predictor(description, parameters)(flows)
  for task, probabilities in answers.probabilities.items():
    assert probabilities.shape == (90, len(description.names()[task]))
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


def trained_with_all(flows, name, **options):
  settings = settings_of(name, 3).replace(labels_per_class=("all",))
  (run,) = label_budgets(settings)
  inputs = Inputs(settings, flows, [run])
  return run, settings, inputs, trainer.train(settings, inputs, run, **options)


def test_a_model_learns_from_the_flows_that_tested_it(flow_maker):
  flows = flow_maker()
  unlabelled = np.arange(90) % 10 == 9
  flows = flows.replace(classes=np.where(unlabelled, -1, flows.classes))
  run, settings, inputs, tested = trained_with_all(flows, "nearest_neighbor")
  assert trainer.can_refit(run, settings)
  kept = trainer.refit(inputs, run, tested)
  assert len(tested.parameters["inputs"][0]) == 81 - 18 - 9
  np.testing.assert_array_equal(kept.draw.labelled()[0], np.flatnonzero(~unlabelled))
  # Each labelled flow is nearest to itself.
  answers = Predictor(kept.description, kept.parameters)(flows)
  np.testing.assert_array_equal(
    answers.labels("class")[~unlabelled], flows.classes[~unlabelled]
  )
  assert tested.description.class_counts == (18, 18, 18)
  assert kept.description.class_counts == (27, 27, 27)
  assert kept.description == dataclasses.replace(
    tested.description, class_counts=(27, 27, 27)
  )
  assert kept.description.temperatures["class"] != 1


def test_members_learn_from_all_flows_by_keys_of_their_own(flows, monkeypatch):
  fitted = []

  def told(method, problem, draws, hyperparameters, **options):
    fitted.append(draws)
    labelled = jax.tree.map(lambda leaf: leaf[:1], draws)
    parameters = nearest.fit(method, problem, labelled, hyperparameters)
    return jax.tree.map(lambda leaf: np.repeat(leaf, 2, axis=0), parameters)

  class OfChance(METHODS["nearest_neighbor"]):
    is_random = True
    fit = told

  nearest = METHODS["nearest_neighbor"]
  monkeypatch.setitem(METHODS, "nearest_neighbor", OfChance)
  run, _, inputs, tested = trained_with_all(flows, "nearest_neighbor", num_members=2)
  trainer.refit(inputs, run, tested)
  part, all_ = fitted
  assert part.train.shape == (2, 90 - 18 - 9) and all_.train.shape == (2, 90)
  assert all_.num_labelled.tolist() == [90, 90]
  assert (all_.key == part.key).all() and all_.key[0] != all_.key[1]


@pytest.mark.parametrize(
  ("name", "labels", "possible"),
  [
    ("random_forest_online", "all", True),
    ("random_forest_online", 1000, False),
    ("multitask", "all", False),
  ],
)
def test_what_was_chosen_by_flows_does_not_learn_from_them(name, labels, possible):
  settings = settings_of(name).replace(labels_per_class=(labels,))
  (run,) = label_budgets(settings)
  assert trainer.can_refit(run, settings) == possible


@pytest.mark.parametrize("name", RANDOM)
def test_an_ensemble_answers_the_mean_of_its_members(models, flows, name):
  description, parameters, _ = models(name)
  raw = dataclasses.replace(
    description, temperatures=dict.fromkeys(description.temperatures, 1.0)
  )
  members = [
    Predictor(raw, jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], parameters))(flows)
    for i in range(2)
  ]
  together = Predictor(raw, parameters)(flows)
  for task, probabilities in together.probabilities.items():
    first, second = (answers.probabilities[task] for answers in members)
    assert not np.allclose(first, second, atol=1e-4)
    np.testing.assert_allclose(probabilities, (first + second) / 2, atol=1e-5)


@pytest.mark.parametrize("name", SERVED)
def test_what_is_kept_answers_as_what_was_trained(models, flows, name, tmp_path):
  description, parameters, _ = models(name)
  checkpoints.save(tmp_path, description, parameters)
  loaded = load_model(tmp_path)
  assert loaded.description == description
  jax.tree.map(
    np.testing.assert_array_equal,
    loaded(flows).probabilities,
    Predictor(description, parameters)(flows).probabilities,
  )


# What runs an exported file has JAX, and none of what a model is made with.
RUN_ALONE = """
  import pathlib, sys, zipfile
  for name in ("mtl_traffic", "flax", "optax", "orbax", "sklearn"):
    sys.modules[name] = None
  import jax, numpy as np
  folder = pathlib.Path(sys.argv[1])
  arguments = np.load(folder / "flows.npz")
  for path in folder.glob("*.zip"):
    with zipfile.ZipFile(path) as file:
      predict = jax.export.deserialize(bytearray(file.read("predict.jax"))).call
    for count in map(int, sys.argv[2:]):
      answers = predict(*(arguments[f"arr_{i}"][:count] for i in range(4)))
      np.savez(folder / f"{path.stem}_{count}.npz", **answers)
"""


def test_exported_files_answer_with_jax_alone(models, flow_maker, tmp_path):
  pytest.importorskip("flatbuffers", reason="serialisation needs mtl_traffic[export]")
  flows, counts = flow_maker(300), (1, 5, 300)
  predictors = {}
  for name in SERVED:
    description, parameters, _ = models(name)
    predictors[name] = Predictor(description, parameters)
    predictors[name].export(tmp_path / f"{name}.zip")
  first = encoding.first_packets(flows.packets, K)
  np.savez(tmp_path / "flows.npz", *map(np.asarray, jax.tree.leaves(first)))
  done = subprocess.run(
    [
      *(sys.executable, "-I", "-c", textwrap.dedent(RUN_ALONE), str(tmp_path)),
      *map(str, counts),
    ],
    cwd=tmp_path,
    env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  for name, predictor in predictors.items():
    expected = predictor(flows).probabilities
    for count in counts:
      answers = np.load(tmp_path / f"{name}_{count}.npz")
      assert set(answers) == set(expected)
      for task, probabilities in expected.items():
        np.testing.assert_allclose(
          answers[task], probabilities[:count], atol=2e-5, err_msg=f"{name}, {task}"
        )


@pytest.mark.parametrize("name", OF_PREFIXES)
def test_a_model_of_prefixes_answers_from_the_shortest_on(models, flows, name):
  description, parameters, _ = models(name)
  predictor = Predictor(description, parameters)
  early, late = predictor(flows, SHORTEST), predictor(flows)
  assert not np.allclose(early.probabilities["class"], late.probabilities["class"])
  with pytest.raises(InputError, match="after 5 to 16 packets, not 4"):
    predictor(flows, 4)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("random_forest", {}, "random_forest reads whole flows"),
    ("nearest_neighbor", {"num_members": 2}, "nearest_neighbor is not random"),
    *(
      (name, {"shortest_prefix": 5}, f"{name} does not learn from prefixes")
      for name in METHODS
      if not METHODS[name].learns_prefixes
    ),
  ],
)
def test_models_that_cannot_be_are_refused(flows, name, options, message):
  with pytest.raises(InputError) as error:
    train(flows, name, **options)
  assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("k", "shortest"), [(8, 5), (30, 8), (48, 5), (120, 8)])
def test_any_k_can_be_calibrated(flows, monkeypatch, k, shortest):
  def untrained(method, problem, draws, hyperparameters, **options):
    network = method.network({"class": problem.num_classes["class"]})
    parameters = network.init(draws.key[0], problem.inputs[:1])
    return jax.tree.map(lambda leaf: leaf[None], parameters)

  monkeypatch.setattr(METHODS["single_task"], "fit", untrained)
  settings = settings_of("single_task", 3).replace(k=k)
  (run,) = label_budgets(settings)
  run = dataclasses.replace(run, shortest_prefix=shortest)
  inputs = Inputs(settings, flows, [run])
  description, _, _ = trainer.train(settings, inputs, run)
  assert (description.k, description.shortest_prefix) == (k, shortest)
  assert description.temperatures["class"] != 1


def test_calibration_asks_from_the_shortest_prefix_to_all_packets():
  for k in range(6, 300):
    assert trainer.prefixes(k, k) == [k]
    for shortest in {1, 5, min(8, k), k - 1}:
      asked = trainer.prefixes(shortest, k)
      assert asked[0] == shortest and asked[-1] == k
      assert asked == sorted(set(asked)) and len(asked) <= 5
