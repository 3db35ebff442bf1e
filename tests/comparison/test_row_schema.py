"""Tests of `mtl_traffic.comparison.row_schema`."""

import json
import pathlib

import pytest

from mtl_traffic.comparison import report, row_schema
from mtl_traffic.errors import InputError

GOLDEN = pathlib.Path(__file__).parent / "golden" / "results" / "label_budget"


def rows():
  return [json.loads(line) for line in (GOLDEN / "results.jsonl").open()]


def test_rows_that_runs_wrote_are_sound():
  for row in rows():
    row_schema.check(row)
  diverged = rows()[0] | {"class_accuracy": None, "class_confusion": None, "error": "x"}
  row_schema.check(diverged)


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("class_accuracy", "0.9", "class_accuracy is '0.9', must be a fraction or null"),
    ("class_accuracy", 90, "class_accuracy is 90, must be a fraction"),
    ("class_confusion", [[1, 2], [3]], "class_confusion is [[1, 2], [3]], must be a"),
    ("class_confusion", [[1, -2], [3, 4]], "must be a square of counts"),
    ("bandwidth_confusion", 5, "must be a square of counts"),
    ("seed", True, "seed is True, must be a whole number"),
    ("seed", 1.5, "seed is 1.5, must be a whole number"),
    ("labels_per_class", [10], "labels_per_class is [10], must be a whole number or"),
    ("method", None, "method is None, must be text"),
    ("lambda", {}, "lambda is {}, must be a number"),
    ("lambda", 10**400, "must be a number"),
    ("tasks", "bandwidth", "tasks is 'bandwidth', must be names"),
    ("duration_dividers", ["a"], "duration_dividers is ['a'], must be numbers"),
    ("seconds", "x" * 99, f"seconds is '{'x' * 39}…, must be a number; remove the"),
  ],
)
def test_the_field_of_a_wrong_type_is_named(tmp_path, field, value, message):
  sound, *others = rows()
  wrong = sound | {field: value}
  with pytest.raises(InputError) as error:
    row_schema.check(wrong)
  assert message in str(error.value)
  (tmp_path / "config.json").write_text((GOLDEN / "config.json").read_text())
  lines = [json.dumps(row) + "\n" for row in (others[0], wrong)]
  (tmp_path / "results.jsonl").write_text("".join(lines))
  with pytest.raises(InputError, match=r"results\.jsonl, line 2: ") as error:
    report.write(tmp_path)
  assert message in str(error.value)
