import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from mtl_traffic import checkpoints, encoding, inference, sweeps
from mtl_traffic.errors import InputError
from tests.model_maker import make_model


def test_probabilities_are_the_calibrated_mean_over_networks(flows):
  description, variables = make_model(num_networks=3)
  answers = inference.Predictor(description, variables)(flows)
  inputs = encoding.encode(flows.packets, 8, iat_range=(-1.0, 1.0))
  queries = jnp.tile(jnp.arange(len(flows)), (3, 1))
  logits = sweeps.predict(variables, inputs, queries, model=description.network())
  for task, temperature in description.temperatures.items():
    mean = special.softmax(np.asarray(logits[task], np.float64), axis=-1).mean(axis=0)
    expected = special.softmax(np.log(mean) / temperature, axis=-1)
    np.testing.assert_allclose(answers.probabilities[task], expected, atol=1e-5)
  assert answers.names["class"] == ("a", "b", "c")


def test_labels_below_the_threshold_are_unknown():
  probabilities = {"class": np.array([[0.2, 0.8], [0.6, 0.4]])}
  answers = inference.Answers(probabilities, {"class": ("a", "b")})
  assert answers.labels("class").tolist() == [1, 0]
  assert answers.labels("class", 0.7).tolist() == [1, -1]


def test_any_number_of_flows_takes_few_programs(flow_maker):
  predictor = inference.Predictor(*make_model())
  flows = flow_maker(300)
  predictor.warm_up()
  before = inference._probabilities._cache_size()
  whole = predictor(flows)
  for start, stop in ((0, 1), (1, 18), (18, 160), (160, 300)):
    part = flows[slice(start, stop)]
    # Nor does it matter how many packets the arrays have room for.
    width = max(9, int(part.packets.counts.max()))
    packets = part.packets.replace(
      times=part.packets.times[:, :width],
      lengths=part.packets.lengths[:, :width],
      directions=part.packets.directions[:, :width],
      counts=np.minimum(part.packets.counts, width),
    )
    for task, probabilities in predictor(packets).probabilities.items():
      np.testing.assert_allclose(
        probabilities, whole.probabilities[task][start:stop], atol=1e-6
      )
  assert predictor(flows[:0]).probabilities["class"].shape == (0, 3)
  assert inference._probabilities._cache_size() == before


def test_a_prefix_is_what_was_there_then(flows):
  predictor = inference.Predictor(*make_model(k=12, shortest_prefix=5))
  cut = encoding.first_packets(flows.packets, 7)
  for task, probabilities in predictor(flows, 7).probabilities.items():
    np.testing.assert_array_equal(probabilities, predictor(cut).probabilities[task])
  for wrong in (4, 13):
    with pytest.raises(InputError, match=f"after 5 to 12 packets, not {wrong}"):
      predictor(flows, wrong)
  with pytest.raises(InputError, match="after 8 packets, not 7"):
    inference.Predictor(*make_model(k=8))(flows, 7)


def test_a_model_in_a_folder_answers_as_the_one_that_was_saved(flows, tmp_path):
  model = make_model(num_networks=2)
  checkpoints.save(tmp_path, *model)
  saved, loaded = inference.Predictor(*model)(flows), inference.load(tmp_path)(flows)
  jax.tree.map(np.testing.assert_array_equal, saved.probabilities, loaded.probabilities)


def test_the_exported_file_answers_alike(flows, tmp_path):
  pytest.importorskip("flatbuffers", reason="serialisation needs mtl_traffic[export]")
  predictor = inference.Predictor(*make_model(num_networks=2))
  predictor.export(tmp_path / "model.zip")
  with zipfile.ZipFile(tmp_path / "model.zip") as file:
    predict = jax.export.deserialize(bytearray(file.read("predict.jax"))).call
    content = json.loads(file.read("model.json"))
  assert content["k"] == 8 and content["names"]["class"] == ["a", "b", "c"]
  packets = jax.tree.map(np.asarray, encoding.first_packets(flows.packets, 8))
  expected = predictor(flows).probabilities
  for stop in (len(flows), 5):
    answers = predict(
      packets.times[:stop].astype(np.float32),
      packets.lengths[:stop],
      packets.directions[:stop],
      packets.counts[:stop],
    )
    for task, probabilities in expected.items():
      np.testing.assert_allclose(answers[task], probabilities[:stop], atol=1e-6)
