import numpy as np

from mtl_traffic import targets, tasks
from mtl_traffic.serving.truth import measured


def test_a_value_on_a_divider_is_of_the_class_above(flows):
  some = flows[:4].replace(
    durations=np.array([0.0, 2.0, 4.0, 10.0]),
    num_bytes=np.array([100, 100, 400, 10_000]),
  )
  assert measured(some, "duration", (2.0, 9.0)).tolist() == [0, 1, 1, 2]
  # 50, 100 and 1,000 bytes/s; a flow of 0 s has no bandwidth.
  assert measured(some, "bandwidth", (100.0,)).tolist() == [-1, 0, 1, 1]
  assert measured(some, "bandwidth", ()).tolist() == [-1, 0, 0, 0]


def test_it_is_what_training_takes_for_true(flows):
  for task in ("bandwidth", "duration"):
    values = np.asarray(tasks.TASKS[task](flows), np.float32)
    dividers = np.quantile(values, [0.3, 0.6])
    expected = targets.divide(values, dividers.astype(np.float32))
    np.testing.assert_array_equal(measured(flows, task, tuple(dividers)), expected)
