"""Tests of commands without a home folder, and without the right to write."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = (
  "import jax; from mtl_traffic.commands import cli; print(cli._cache_of_user())"
)


def _as_nobody(*arguments):
  if os.geteuid() or not shutil.which("setpriv"):
    pytest.skip("becoming a user who has no entry takes root and setpriv")
  environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "PYTHONPATH")}
  environment.pop("XDG_CACHE_HOME", None)
  user = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
  return subprocess.run(
    [*user, sys.executable, *arguments],
    env=environment | {"PYTHONPATH": str(ROOT)},
    cwd="/",
    capture_output=True,
    text=True,
  )


def test_without_a_home_nothing_is_kept():
  done = _as_nobody("-c", PROGRAM)
  if "Permission denied" in done.stderr:
    pytest.skip("another user may not read this installation")
  assert done.stdout == "None\n", done.stderr


def test_a_folder_that_may_not_be_written_is_told_before_the_work(tmp_path):
  from mtl_traffic import files
  from mtl_traffic.errors import InputError

  folder = tmp_path / "theirs"
  folder.mkdir(mode=0o500)
  if os.access(folder, os.W_OK):
    pytest.skip("root may write anywhere")
  with pytest.raises(InputError, match="cannot be written"):
    files.check(folder / "new" / "a.parquet")


def test_a_directory_is_no_file(tmp_path):
  from mtl_traffic import files
  from mtl_traffic.errors import InputError

  with pytest.raises(InputError, match="cannot be written"):
    files.check(tmp_path)
  with pytest.raises(InputError, match="cannot be written"):
    (tmp_path / "file").touch()
    files.check(tmp_path / "file" / "a")
  files.check(tmp_path / "new" / "a")
  assert not (tmp_path / "new").exists()
