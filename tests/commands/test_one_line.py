"""Errors of commands are one line, without control characters."""

import pathlib
import subprocess
import sys

from mtl_traffic import files

ROOT = pathlib.Path(__file__).parents[2]


def _run(*arguments):
  command = [sys.executable, "-m", "mtl_traffic", *arguments]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_second_training_to_a_directory_is_refused(tmp_path):
  with files.lock(tmp_path / "model"):
    done = _run("train", f"--workdir={tmp_path / 'model'}")
  assert done.returncode == 1
  assert done.stderr == f"error: {tmp_path / 'model'}: another process is using it\n"


def test_the_name_of_a_file_does_not_steer_the_terminal(tmp_path):
  capture = tmp_path / "\x1b[2J\nall is well.pcap"
  capture.write_bytes(b"no capture")
  done = _run(
    "extract-flows", f"--captures={tmp_path}/*.pcap", f"--out={tmp_path}/a.parquet"
  )
  assert done.returncode == 1
  assert "\x1b" not in done.stderr and len(done.stderr.splitlines()) == 1
  assert r"\x1b[2J\nall is well.pcap: not a pcap" in done.stderr


def test_a_directory_that_is_no_directory_is_one_line(tmp_path):
  (tmp_path / "file").touch()
  done = _run("train", f"--workdir={tmp_path / 'file' / 'model'}")
  assert done.returncode == 1
  assert done.stderr.endswith("Not a directory; take another directory\n")
  assert len(done.stderr.splitlines()) == 1
