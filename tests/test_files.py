import pytest

from mtl_traffic import files


def test_a_file_appears_when_it_is_whole(tmp_path):
  path = tmp_path / "new" / "folder" / "file"
  with files.replacing(path) as partial:
    partial.write_text("half")
    assert not path.exists()
    partial.write_text("whole")
  assert path.read_text() == "whole"
  assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there_and_nothing_partial(tmp_path):
  path = tmp_path / "file"
  path.write_text("old")
  with pytest.raises(ZeroDivisionError), files.replacing(path) as partial:
    partial.write_text("half")
    raise ZeroDivisionError
  assert path.read_text() == "old"
  assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_never_written_replaces_nothing(tmp_path):
  path = tmp_path / "file"
  path.write_text("old")
  with pytest.raises(FileNotFoundError), files.replacing(path):
    pass
  assert path.read_text() == "old"


def test_text_is_utf8_and_replaces_what_was_there(tmp_path):
  path = tmp_path / "file"
  files.write_text(path, "longer than λ")
  files.write_text(str(path), "λ")
  assert path.read_bytes() == "λ".encode()
  assert list(tmp_path.iterdir()) == [path]
