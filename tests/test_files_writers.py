import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

from mtl_traffic import files
from mtl_traffic.errors import InputError


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
  path = tmp_path / "new" / "a.txt"
  files.write_text(path, "before")
  with files.replacing(path) as partial:
    partial.write_text("after")
    assert path.read_text() == "before"
  assert path.read_text() == "after"
  assert os.listdir(path.parent) == ["a.txt"]


def test_an_error_keeps_what_is_there(tmp_path):
  path = tmp_path / "a.txt"
  files.write_text(path, "before")
  with pytest.raises(ZeroDivisionError), files.replacing(path) as partial:
    partial.write_text("aft")
    raise ZeroDivisionError
  assert path.read_text() == "before"
  assert os.listdir(tmp_path) == ["a.txt"]


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
  path = tmp_path / "a.txt"
  with files.replacing(path) as partial:
    partial.write_text("first")
    with pytest.raises(InputError, match=r"a\.txt: another process is writing it"):
      files.write_text(path, "second")
  assert path.read_text() == "first"
  files.write_text(path, "third")
  assert path.read_text() == "third"


def test_what_a_killed_process_left_is_taken_over(tmp_path):
  path = tmp_path / "a.txt"
  program = f"""
    import os, signal
    from mtl_traffic import files
    with files.replacing({str(path)!r}) as partial:
      partial.write_text("a long text that is not done")
      os.kill(os.getpid(), signal.SIGKILL)
  """
  killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)])
  assert killed.returncode == -signal.SIGKILL
  assert os.listdir(tmp_path) != []
  files.write_text(path, "short")
  assert path.read_text() == "short"
  assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("looks", [1, 2])
def test_a_lock_that_goes_away_while_it_is_taken_is_taken_anew(
  tmp_path, monkeypatch, looks
):
  path, stat, left = tmp_path / "a.txt", pathlib.Path.stat, looks

  def remove_then_stat(self, **options):
    nonlocal left
    if self.name.endswith(".lock"):
      left -= 1
      if not left:  # As if the previous writer was just done.
        self.unlink()
    return stat(self, **options)

  monkeypatch.setattr(pathlib.Path, "stat", remove_then_stat)
  files.write_text(path, "after")
  assert path.read_text() == "after"
  assert os.listdir(tmp_path) == ["a.txt"]


def test_many_writers_leave_one_whole_file(tmp_path):
  program = f"""
    import sys
    from mtl_traffic import files
    from mtl_traffic.errors import InputError
    done = 0
    while done < 50:
      try:
        files.write_text({str(tmp_path / "a.txt")!r}, sys.argv[1] * 100_000)
        done += 1
      except InputError as error:
        assert "another process" in str(error), error
  """
  writers = [
    subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), letter])
    for letter in "abc"
  ]
  assert [writer.wait() for writer in writers] == [0, 0, 0]
  text = (tmp_path / "a.txt").read_text()
  assert text == text[0] * 100_000
  assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_line(tmp_path):
  with pytest.raises(InputError, match=r"/dev/full/a: cannot be written \(File ex"):
    files.write_text("/dev/full/a", "text")

  def full():
    raise OSError(28, "No space left on device")

  with pytest.raises(InputError, match="No space left"):
    with files.replacing(tmp_path / "a"):
      full()


def test_a_folder_has_one_user(tmp_path):
  first = files.lock(tmp_path / "w")
  with pytest.raises(InputError, match="another process is using it"):
    files.lock(tmp_path / "w")
  first.close()
  files.lock(tmp_path / "w").close()
