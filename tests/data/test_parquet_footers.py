"""A footer that contradicts itself, as fuzzing found it, is an unreadable file."""

import pathlib
import subprocess
import sys

FILE = pathlib.Path(__file__).parent / "contradicting_statistics.parquet"
PROGRAM = f"""
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError
try:
  parquet.read({str(FILE)!r})
except InputError as error:
  print(error)
"""


def test_a_footer_that_contradicts_itself_does_not_end_the_process():
  # In a process of its own, as pyarrow would end this one.
  done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[:500]
  assert "not a readable Parquet file" in done.stdout
