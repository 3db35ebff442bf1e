"""Answer files that two processes want, that a kill cuts short, or nobody reads."""

import csv
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_traffic.errors import InputError
from mtl_traffic.serving import answer_files

SCHEMA = pa.schema(
  [("flow", pa.string()), ("time", pa.timestamp("ns", "UTC")), ("packets", pa.int64())]
)


def rows(first, count):
  numbers = range(first, first + count)
  return {
    "flow": [f"flow {n}" for n in numbers],
    "time": pa.array([10**18 + n for n in numbers]).to_numpy(),
    "packets": list(numbers),
  }


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_second_writer_is_refused_and_harms_nothing(tmp_path, suffix):
  path = tmp_path / f"answers{suffix}"
  with answer_files.open_answers(path, SCHEMA) as file:
    file.write(rows(0, 3))
    with pytest.raises(InputError, match="another process is writing it"):
      answer_files.open_answers(path, SCHEMA)
    file.write(rows(3, 2))
  with pytest.raises(InputError, match="is there already"):
    answer_files.open_answers(path, SCHEMA)
  count = len(pq.read_table(path)) if suffix == ".parquet" else _lines(path)
  assert count == 5
  assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def _lines(path):
  return path.read_text().count("\n") - (path.suffix == ".csv")


def test_parquet_answers_of_a_killed_process_are_recovered_by_the_next(tmp_path):
  path = tmp_path / "answers.parquet"
  program = f"""
    import os, signal
    from mtl_traffic.serving import answer_files
    from tests.serving.test_answer_writers import SCHEMA, rows
    file = answer_files.open_answers({str(path)!r}, SCHEMA)
    for first in range(0, 5000, 7):
      file.write(rows(first, 7))
    os.kill(os.getpid(), signal.SIGKILL)
  """
  killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)])
  assert killed.returncode == -signal.SIGKILL
  assert not path.exists()  # Rather than an unreadable one.
  with pytest.raises(InputError, match="holds the answers of a run that was killed"):
    answer_files.open_answers(path, SCHEMA)
  table = pq.read_table(path)
  assert table["packets"].to_pylist() == list(range(len(table)))
  assert len(table) == 5005 and table.schema.equals(SCHEMA)
  assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_journal_that_is_cut_within_a_batch_gives_the_batches_before(tmp_path):
  path, journal = tmp_path / "a.parquet", tmp_path / ".a.parquet.journal"
  program = f"""
    import os
    from mtl_traffic.serving import answer_files
    from tests.serving.test_answer_writers import SCHEMA, rows
    file = answer_files.open_answers({str(path)!r}, SCHEMA)
    file.write(rows(0, 50))
    file.write(rows(50, 50))
    os._exit(1)
  """
  subprocess.run([sys.executable, "-c", textwrap.dedent(program)])
  journal.write_bytes(journal.read_bytes()[:-30])
  with pytest.raises(InputError, match="was killed"):
    answer_files.open_answers(path, SCHEMA)
  assert pq.read_table(path)["packets"].to_pylist() == list(range(50))


def test_a_pipe_whose_reader_is_gone_ends_the_answers(tmp_path):
  path = tmp_path / "answers.csv"
  os.mkfifo(path)

  def read_a_little():
    with open(path, "rb", buffering=0) as file:
      file.read(10)

  reader = threading.Thread(target=read_a_little)
  reader.start()
  file = answer_files.open_answers(path, SCHEMA)
  reader.join()
  with pytest.raises(InputError, match="Broken pipe"), file:
    file.write(rows(0, 100))


def test_no_cell_of_csv_answers_is_a_formula(tmp_path):
  path = tmp_path / "answers.csv"
  with answer_files.open_answers(path, SCHEMA) as file:
    file.write(rows(0, 1) | {"flow": ['=HYPERLINK("http://x")']})
  (row,) = csv.DictReader(path.read_text().splitlines())
  assert row["flow"] == '\'=HYPERLINK("http://x")'
  assert row["packets"] == "0"
