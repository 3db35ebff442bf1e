"""The columns of answers equal those of the documented schema."""

import itertools
import json
import pathlib

import pytest

from mtl_traffic.serving import answer_columns

SCHEMA = json.loads(
  (pathlib.Path(__file__).parents[2] / "docs/answers.schema.json").read_text()
)
ALL = ("bandwidth", "duration", "class")


@pytest.mark.parametrize("tasks", [ALL, ("class",)])
def test_each_column_is_described_and_the_first_ones_always_there(tasks):
  assert SCHEMA["properties"]["version"]["const"] == answer_columns.NUMBER
  for evaluate, labelled in itertools.product((False, True), repeat=2):
    columns = answer_columns.columns(tasks, evaluate, labelled)
    assert columns.metadata == {b"version": b"1"}
    names = ["version", *columns.names]
    assert names[: len(SCHEMA["required"])] == SCHEMA["required"]
    assert set(names) <= SCHEMA["properties"].keys()
    if evaluate and labelled and tasks == ALL:
      assert names == list(SCHEMA["properties"])


def test_what_a_task_has():
  assert answer_columns.of_task("class") == (
    "class",
    "class_probability",
    "class_certainty",
    "class_unknown_because",
  )
