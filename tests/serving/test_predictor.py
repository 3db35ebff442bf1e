import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from mtl_traffic import encoding
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Packets
from mtl_traffic.serving import predictor as serving
from mtl_traffic.serving.predictor import Predictor
from tests.serving.model_maker import make_model


def test_probabilities_are_the_calibrated_mean_over_members(flows):
  description, parameters = make_model(num_members=3)
  answers = Predictor(description, parameters)(flows)
  inputs = encoding.encode(flows.packets, 8, iat_range=(-1.0, 1.0))
  queries = jnp.tile(jnp.arange(len(flows)), (3, 1))
  logits = description.make().ask(parameters, inputs, queries)
  for task, temperature in description.temperatures.items():
    mean = special.softmax(np.asarray(logits[task], np.float64), axis=-1).mean(axis=0)
    expected = special.softmax(np.log(mean) / temperature, axis=-1)
    np.testing.assert_allclose(answers.probabilities[task], expected, atol=1e-5)
  assert answers.names["class"] == ("a", "b", "c")


def test_labels_below_the_threshold_are_unknown():
  probabilities = {"class": np.array([[0.1, 0.9], [0.6, 0.4], [0.1, 0.9]])}
  familiarity = np.array([1, 1, 0.5])
  answers = serving.Answers(probabilities, {"class": ("a", "b")}, familiarity)
  assert answers.labels("class").tolist() == [1, 0, 1]
  assert answers.labels("class", 0.7).tolist() == [1, -1, -1]
  np.testing.assert_allclose(answers.certainties("class"), [0.722, 0.51, 0.361], 2e-3)


def test_any_number_of_flows_takes_few_programs(flow_maker):
  predictor = Predictor(*make_model())
  flows = flow_maker(300)
  predictor.warm_up()
  before = serving._ask._cache_size()
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
  assert serving._ask._cache_size() == before


def test_a_prefix_is_what_was_there_then(flows):
  predictor = Predictor(*make_model(k=12, shortest_prefix=5))
  packets = flows.packets
  cut = Packets(
    packets.times[:, :7],
    packets.lengths[:, :7],
    packets.directions[:, :7],
    np.minimum(packets.counts, 7),
  )
  for task, probabilities in predictor(flows, 7).probabilities.items():
    np.testing.assert_array_equal(probabilities, predictor(cut).probabilities[task])
  for wrong in (4, 13):
    with pytest.raises(InputError, match=f"after 5 to 12 packets, not {wrong}"):
      predictor(flows, wrong)
  with pytest.raises(InputError, match="after 8 packets, not 7"):
    Predictor(*make_model(k=8))(flows, 7)
