import jax.numpy as jnp
import numpy as np

from mtl_traffic import inputs


def test_scores_are_distances_to_the_closest_labelled_flow_of_each_class(
  make, problem_of, draw, fit, flows
):
  method, drawn = make("nearest_neighbor"), draw(3, 6)
  problem = problem_of(method)
  parameters = fit(method, problem, drawn)
  scores = method.ask(parameters, problem.inputs, drawn.test)["class"]
  lengths = (flows.packets.directions * flows.packets.lengths)[:, :10] / 1434
  np.testing.assert_allclose(problem.inputs, lengths, rtol=1e-6)
  for run, count in enumerate((9, 18)):
    labelled = np.asarray(drawn.train[run, :count])
    for place, query in enumerate(np.asarray(drawn.test[run])):
      distances = np.abs(lengths[labelled] - lengths[query]).sum(axis=1)
      expected = [
        -distances[flows.classes[labelled] == number].min() for number in range(3)
      ]
      np.testing.assert_allclose(scores[run, place], expected, rtol=1e-5)


def test_a_class_without_label_is_never_the_closest(make, problem_of, draw, fit):
  method, drawn = make("nearest_neighbor"), draw(3)
  target = drawn.targets["class"]
  drawn.targets["class"] = jnp.where(target == 2, 1, target)
  problem = problem_of(method)
  scores = method.ask(fit(method, problem, drawn), problem.inputs, drawn.test)["class"]
  # Nor is its score infinite, which would make a run count as failed.
  assert np.isfinite(scores).all()
  assert (scores[..., 2] < scores[..., :2].min(axis=-1) - 1e6).all()


def test_thirty_packets_instead_of_ten_or_k_if_that_is_fewer(make, flows):
  method = make("nearest_neighbor_30_packets")
  lengths = (flows.packets.directions * flows.packets.lengths)[:, :16] / 1434
  np.testing.assert_allclose(inputs.read(method, flows, 16), lengths, rtol=1e-6)
  assert inputs.read(method, flows, 40).shape == (len(flows), 30)


def test_lengths_without_direction(make, flows, problem_of):
  read = problem_of(make("nearest_neighbor", signed_lengths=False)).inputs
  np.testing.assert_allclose(read, flows.packets.lengths[:, :10] / 1434, rtol=1e-6)
