import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic import targets


def test_bandwidth_is_bytes_over_seconds_and_nan_without_a_duration():
  bandwidths = targets.bandwidths(np.array([1000, 50]), np.array([4.0, 0.0]))
  np.testing.assert_array_equal(bandwidths, [250.0, np.nan])


def test_bandwidth_of_more_bytes_than_int32_holds():
  bandwidths = targets.bandwidths(np.array([6_000_000_000]), np.array([2.0]))
  np.testing.assert_allclose(bandwidths, [3e9])


def test_class_averages_leave_out_nan_and_unknown():
  averages = targets.class_averages(
    jnp.array([1.0, 3.0, jnp.nan, 10.0, 99.0]), jnp.array([0, 0, 0, 1, -1]), 3
  )
  np.testing.assert_array_equal(averages, [2.0, 10.0, np.nan])


def test_midpoints_of_the_papers_averages_are_the_papers_dividers():
  # Section IV-C prints [6.30, 20.96, 44.26, 85.27], from averages before rounding.
  averages = jnp.array([32.08, 2.77, 114.10, 9.83, 56.44])
  np.testing.assert_allclose(
    targets.midpoint_dividers(averages), [6.30, 20.955, 44.26, 85.27], rtol=1e-5
  )


def test_a_class_without_average_adds_a_divider_that_nothing_reaches():
  dividers = targets.midpoint_dividers(jnp.array([4.0, jnp.nan, 2.0]))
  np.testing.assert_array_equal(dividers, [3.0, np.nan])
  np.testing.assert_array_equal(
    targets.divide(jnp.array([1.0, 1e30]), dividers), [0, 1]
  )


def test_a_value_on_a_divider_belongs_above_it():
  dividers = jnp.array([10.0, 20.0])
  values = jnp.array([9.99, 10.0, 19.99, 20.0, 1e9, jnp.nan, -1.0])
  np.testing.assert_array_equal(
    targets.divide(values, dividers), [0, 1, 1, 2, 2, -1, 0]
  )


def test_any_number_of_dividers():
  values = jnp.array([1.0, 5.0])
  np.testing.assert_array_equal(targets.divide(values, jnp.zeros(0)), [0, 0])
  np.testing.assert_array_equal(targets.divide(values, jnp.arange(7.0)), [2, 6])


def test_divide_can_be_mapped_over_dividers():
  values = jnp.array([1.0, 2.0, 3.0])
  classes = jax.vmap(targets.divide, in_axes=(None, 0))(
    values, jnp.array([[1.5], [2.5]])
  )
  np.testing.assert_array_equal(classes, [[0, 1, 1], [0, 0, 1]])
