import numpy as np
import pytest


@pytest.mark.parametrize(
  ("name", "least_steps", "epochs"),
  [
    ("single_task", 0, 3),
    ("single_task", 6, 3),
    ("single_task", 7, 4),
    ("cnn_rnn", 7, 4),
    # Networks of several tasks get worse with more epochs.
    ("multitask", 7, 3),
    ("transfer", 7, 3),
  ],
)
def test_networks_of_one_task_take_more_epochs_if_these_have_few_steps(
  name, least_steps, epochs, make, draw
):
  drawn = draw(3)
  assert drawn.epoch_size == 63  # Two steps of 32.
  method = make(name, epochs=3, least_steps=least_steps)
  schedule = method.schedule(drawn)
  assert (schedule.epochs, schedule.batch_size) == (epochs, 32)


def test_the_further_epochs_train_and_count_as_progress(make, problem_of, draw, fit):
  drawn, told = draw(3), []
  method = make("single_task", epochs=1, least_steps=5)
  longer = fit(method, problem_of(method), drawn, progress=told.append)
  assert told == pytest.approx([1 / 3, 2 / 3, 1])
  same = make("single_task", epochs=3)
  as_long = fit(same, problem_of(same), drawn)
  np.testing.assert_array_equal(*map(_biases, (longer, as_long)))
  short = make("single_task", epochs=1)
  assert (_biases(longer) != _biases(fit(short, problem_of(short), drawn))).any()


def _biases(parameters):
  return parameters["params"]["class_head"]["bias"]
