"""Work that the workers of a Beam runner do, in this process."""

import pytest

from mtl_traffic.data import beam_workers
from mtl_traffic.data.beam_workers import BeamWorkers
from mtl_traffic.errors import InputError

pytest.importorskip("apache_beam", reason="the extra beam brings it")
RUNNER = "FnApiRunner"


@pytest.fixture(scope="module")
def workers():
  return BeamWorkers(RUNNER)


def double(number):
  return 2 * number


def refuse_three(number):
  if number == 3:
    raise InputError(f"{number}: is too much; give less")
  return number


def divide_by(number):
  return 1 / number


def test_results_are_in_the_order_of_tasks_and_each_is_told(workers, tmp_path):
  told = []
  results = list(workers.map(tmp_path, double, range(20), told.append))
  assert results == [2 * number for number in range(20)]
  assert sorted(told) == list(range(20))


def test_what_is_wrong_with_the_input_is_all_that_is_said(workers, tmp_path):
  with pytest.raises(InputError) as error:
    list(workers.map(tmp_path, refuse_three, range(6)))
  assert str(error.value) == "3: is too much; give less"


def test_another_failure_names_the_runner_in_one_line(workers, tmp_path):
  with pytest.raises(InputError, match=r"^FnApiRunner: .*division by zero") as error:
    list(workers.map(tmp_path, divide_by, [0]))
  assert "\n" not in str(error.value)


def test_a_folder_that_workers_do_not_share_is_named(workers, tmp_path, monkeypatch):
  monkeypatch.setattr(beam_workers, "_do", lambda numbered, **_: None)
  with pytest.raises(InputError, match="write to a folder that all machines share"):
    list(workers.map(tmp_path, double, range(2)))


@pytest.mark.parametrize(
  ("runner", "options", "message"),
  [
    ("NoRunner", [], "NoRunner: Unexpected pipeline runner: NoRunner. Valid values"),
    (
      RUNNER,
      ["direct_num_workers=two"],
      "direct_num_workers=two: argument --direct_num_workers: invalid int value: 'two'",
    ),
  ],
)
def test_what_beam_cannot_use_raises(runner, options, message):
  with pytest.raises(InputError) as error:
    BeamWorkers(runner, options)
  assert str(error.value).startswith(message)
