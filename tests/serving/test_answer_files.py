"""Tests of `mtl_traffic.serving.answer_files`."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_traffic.errors import InputError
from mtl_traffic.serving import answer_files

ROOT = pathlib.Path(__file__).parents[2]
SCHEMA = pa.schema(
  [
    ("flow", pa.string()),
    ("time", pa.timestamp("ns", "UTC")),
    ("packets", pa.int64()),
    ("note", pa.string()),
  ]
)


def rows(first, count):
  numbers = np.arange(first, first + count)
  return {
    "flow": [f"flow, {n}" for n in numbers],
    "time": 10**18 + numbers,
    "packets": numbers.tolist(),
  }


def read(path):
  """The `packets` column."""
  if path.suffix == ".parquet":
    return pq.read_table(path)["packets"].to_pylist()
  text = path.read_text()
  assert not text or text.endswith("\n")
  if path.suffix == ".jsonl":
    return [json.loads(line)["packets"] for line in text.splitlines()]
  return [int(row["packets"]) for row in csv.DictReader(text.splitlines())]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_are_read_as_they_were_written(tmp_path, suffix):
  path = tmp_path / "new" / f"answers{suffix}"
  with answer_files.open_answers(path, SCHEMA) as file:
    for first, count in ((0, 3), (3, 5000), (5003, 4000)):
      file.write(rows(first, count))
      if suffix != ".parquet":
        assert read(path) == list(range(first + count))
  assert read(path) == list(range(9003))
  if suffix == ".parquet":
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA) and table["note"].null_count == 9003
    assert table["time"].cast(pa.int64())[7].as_py() == 10**18 + 7
  else:
    assert "2001-09-09T01:46:40.000000007Z" in path.read_text()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_full_disk_leaves_whole_rows(tmp_path, suffix):
  path = tmp_path / f"answers{suffix}"
  program = f"""
    import resource, sys
    from mtl_traffic.errors import InputError
    from mtl_traffic.serving import answer_files
    from tests.serving.test_answer_files import SCHEMA, rows
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
    with answer_files.open_answers({str(path)!r}, SCHEMA) as file:
      try:
        for first in range(0, 10**6, 100):
          file.write(rows(first, 100))
      except InputError as error:
        print(first, error)
  """
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(program)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  written, _, message = done.stdout.strip().partition(" ")
  assert "cannot be written (File too large); the answers before are in it" in message
  numbers = read(path)
  # Of the batch that failed some lines may be there, whole.
  assert int(written) <= len(numbers) <= int(written) + 100
  assert numbers == list(range(len(numbers)))


def test_files_that_cannot_be_raise(tmp_path):
  with pytest.raises(InputError, match=r"must end in \.csv, \.jsonl, \.parquet"):
    answer_files.open_answers(tmp_path / "answers.txt", SCHEMA)
  (tmp_path / "file").touch()
  with pytest.raises(InputError, match="cannot be written"):
    answer_files.open_answers(tmp_path / "file" / "answers.csv", SCHEMA)
  os.mkdir(tmp_path / "a.csv")
  with pytest.raises(InputError, match="Is a directory"):
    answer_files.open_answers(tmp_path / "a.csv", SCHEMA)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_answers_that_are_there_are_left_alone(tmp_path, suffix):
  path = tmp_path / f"answers{suffix}"
  path.write_bytes(b"kept")
  with pytest.raises(InputError, match=r"answers.*: is there already") as error:
    answer_files.open_answers(path, SCHEMA)
  assert "\n" not in str(error.value)
  assert path.read_bytes() == b"kept"
  path.write_bytes(b"")  # As mktemp leaves it.
  with answer_files.open_answers(path, SCHEMA) as file:
    file.write(rows(0, 3))
  assert read(path) == [0, 1, 2]


def test_a_pipe_gets_lines(tmp_path):
  for name in ("answers.csv", "answers.jsonl", "pipe"):
    path = tmp_path / name
    os.mkfifo(path)
    got = []
    reader = threading.Thread(target=lambda p=path, g=got: g.append(p.read_text()))
    reader.start()
    with answer_files.open_answers(path, SCHEMA) as file:
      file.write(rows(0, 2))
    reader.join(60)
    (text,) = got
    assert len(text.splitlines()) == 2 + name.endswith(".csv")
    assert '"flow, 1"' in text
  os.mkfifo(tmp_path / "answers.parquet")
  with pytest.raises(InputError, match=r"must end in \.jsonl, \.csv"):
    answer_files.open_answers(tmp_path / "answers.parquet", SCHEMA)


def test_a_pipe_that_nobody_reads_any_more_raises(tmp_path):
  path = tmp_path / "pipe"
  os.mkfifo(path)
  reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
  with answer_files.open_answers(path, SCHEMA) as file:
    file.write(rows(0, 2))
    os.close(reader)
    with pytest.raises(InputError, match="Broken pipe"):
      file.write(rows(2, 2))


def test_devices_take_answers():
  with answer_files.open_answers("/dev/null", SCHEMA) as file:
    file.write(rows(0, 2))
