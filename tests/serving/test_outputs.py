"""Tests of `mtl_traffic.serving.outputs`, and of files that are gone on with."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_traffic.errors import InputError
from mtl_traffic.serving import outputs
from mtl_traffic.serving.outputs import Outputs, Rotation
from tests.serving.test_answer_files import SCHEMA, read, rows

SECOND = 10**9


@pytest.mark.parametrize(
  ("text", "rotation"),
  [
    ("1h", Rotation(period=3600 * SECOND)),
    ("90s", Rotation(period=90 * SECOND)),
    ("1.5min", Rotation(period=90 * SECOND)),
    ("2d", Rotation(period=172_800 * SECOND)),
    ("100MB", Rotation(num_bytes=10**8)),
    ("0.5 kB", Rotation(num_bytes=500)),
    ("3GB", Rotation(num_bytes=3 * 10**9)),
  ],
)
def test_what_a_rotation_says(text, rotation):
  assert Rotation.of(text) == rotation


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1 week", "1hMB", "1e3s"])
def test_what_says_no_rotation_raises(text):
  with pytest.raises(InputError, match="must be a time"):
    Rotation.of(text)


def test_each_file_gets_all_answers(tmp_path):
  paths = [tmp_path / f"a.{suffix}" for suffix in ("csv", "jsonl", "parquet")]
  with Outputs(paths, SCHEMA) as files:
    files.write(rows(0, 3))
    files.write(rows(3, 1))
  assert [read(path) for path in paths] == 3 * [[0, 1, 2, 3]]


def test_where_one_cannot_be_opened_none_is_kept_open(tmp_path):
  (tmp_path / "b.csv").write_text("kept")
  with pytest.raises(InputError, match=r"b\.csv: is there already"):
    Outputs([tmp_path / "a.csv", tmp_path / "b.csv"], SCHEMA)
  with Outputs([tmp_path / "a.csv"], SCHEMA, append=True) as files:  # Not locked.
    files.write(rows(0, 2))
  assert read(tmp_path / "a.csv") == [0, 1]
  with pytest.raises(InputError, match=r"c\.csv: is given twice"):
    outputs.check(["c.csv", "d.csv", "c.csv"])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file_as_large_as_it_may_be_is_followed_by_another(tmp_path, suffix):
  path = tmp_path / f"a.b.{suffix}"
  with Outputs([path], SCHEMA, rotation=Rotation(num_bytes=600)) as files:
    for first in range(0, 40, 4):
      files.write(rows(first, 4))
      assert suffix == "parquet" or path.exists()
  full = [
    tmp_path / f"a.b.{n}.{suffix}" for n in range(1, len(list(tmp_path.iterdir())))
  ]
  assert len(full) >= 2 and {*tmp_path.iterdir()} == {path, *full}
  parts = [read(each) for each in (*full, path)]
  assert [number for part in parts for number in part] == list(range(40))
  assert all(len(part) % 4 == 0 and part for part in parts)
  if suffix != "parquet":
    # Four rows are less than 350 bytes.
    assert all(600 <= each.stat().st_size < 950 for each in full)


def test_a_file_spans_no_more_than_its_period(tmp_path):
  def at(number, seconds):
    return rows(number, 1) | {"time": pa.array([seconds * SECOND]).to_numpy()}

  path = tmp_path / "a.jsonl"
  with Outputs([path], SCHEMA, rotation=Rotation(period=60 * SECOND)) as files:
    for number, seconds in enumerate((100, 159, 130, 160, 90, 219, 220)):
      files.write(at(number, seconds))
  assert read(tmp_path / "a.1.jsonl") == [0, 1, 2]
  assert read(tmp_path / "a.2.jsonl") == [3, 4, 5]
  assert read(path) == [6]


def test_answers_written_at_once_are_split_at_the_ends_of_periods(tmp_path):
  times = np.array([100, 159, 160, 170, 225], np.int64) * SECOND
  path = tmp_path / "a.jsonl"
  with Outputs([path], SCHEMA, rotation=Rotation(period=60 * SECOND)) as files:
    files.write(rows(0, 5) | {"time": times})
  assert read(tmp_path / "a.1.jsonl") == [0, 1]
  assert read(tmp_path / "a.2.jsonl") == [2, 3]
  assert read(path) == [4]


def test_a_file_that_is_full_already_is_followed_by_another_at_once(tmp_path):
  path, rotation = tmp_path / "a.csv", Rotation(num_bytes=100)
  with Outputs([path], SCHEMA) as files:
    files.write(rows(0, 20))
  with Outputs([path], SCHEMA, append=True, rotation=rotation) as files:
    files.write(rows(20, 1))
  assert read(tmp_path / "a.1.csv") == [*range(20)] and read(path) == [20]


def test_full_files_of_an_earlier_run_are_left_alone(tmp_path):
  (tmp_path / "a.1.csv").write_text("kept")
  with Outputs([tmp_path / "a.csv"], SCHEMA, rotation=Rotation(num_bytes=1)) as files:
    files.write(rows(0, 1))
    files.write(rows(1, 1))
  assert (tmp_path / "a.1.csv").read_text() == "kept"
  assert read(tmp_path / "a.2.csv") == [0] and read(tmp_path / "a.csv") == [1]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_file_is_gone_on_with_after_its_last_whole_line(tmp_path, suffix):
  path = tmp_path / f"a.{suffix}"
  for first in (0, 3):
    with Outputs([path], SCHEMA, append=True) as files:
      files.write(rows(first, 3))
    assert read(path) == list(range(first + 3))
    with open(path, "a") as file:
      file.write('{"flow": "cut sh')
  path.write_text(path.read_text().rpartition("\n")[0] + "\n")
  assert path.read_text().count("\n") == 6 + (suffix == "csv")


def test_what_are_no_such_answers_is_not_gone_on_with(tmp_path):
  (tmp_path / "a.csv").write_text("flow,class\n1,a\n")
  with pytest.raises(InputError, match=r"a\.csv: its columns are not those of"):
    Outputs([tmp_path / "a.csv"], SCHEMA, append=True)
  versioned = SCHEMA.with_metadata({"version": "2"})
  for text in ("no JSON\n", "[]\n", '{"version": 1}\n', "{}\n"):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(InputError, match=r"a\.jsonl: holds no JSON lines of these"):
      Outputs([tmp_path / "a.jsonl"], versioned, append=True)
    assert (tmp_path / "a.jsonl").read_text() == text
  pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
  with pytest.raises(InputError, match=r"a\.parquet: is there already"):
    Outputs([tmp_path / "a.parquet"], SCHEMA, append=True)


def test_each_line_says_its_version(tmp_path):
  path = tmp_path / "a.jsonl"
  with Outputs([path], SCHEMA.with_metadata({"version": "2"})) as files:
    files.write(rows(0, 2))
  with Outputs([path], SCHEMA.with_metadata({"version": "2"}), append=True) as files:
    files.write(rows(2, 1))
  lines = list(map(json.loads, path.read_text().splitlines()))
  assert [line["version"] for line in lines] == [2, 2, 2]
  assert next(iter(lines[0])) == "version"
