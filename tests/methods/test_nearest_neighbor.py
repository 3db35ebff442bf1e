import jax.numpy as jnp
import numpy as np

from mtl_traffic.methods.nearest_neighbor import nearest_neighbor


def test_scores_are_distances_to_the_closest_labelled_flow_of_each_class(
  study, flows, draw
):
  drawn = draw(3, 6)
  scores = nearest_neighbor(study, drawn, jnp.ones(2), drawn.test)["class"]
  lengths = np.asarray(study.inputs)[:, :10, 1]
  for run, count in enumerate((9, 18)):
    labelled = np.asarray(drawn.train[run, :count])
    for place, query in enumerate(np.asarray(drawn.test[run])):
      distances = np.abs(lengths[labelled] - lengths[query]).sum(axis=1)
      expected = [
        -distances[flows.classes[labelled] == number].min() for number in range(3)
      ]
      np.testing.assert_allclose(scores[run, place], expected, rtol=1e-5)
