import json

import pytest

from mtl_traffic.comparison.workdir import WorkDir
from mtl_traffic.errors import InputError

MEANING = {"k": 60, "iat_range": (0.0, 1.0)}


def test_rows_are_read_back_by_the_next_opening(tmp_path):
  first = WorkDir(tmp_path / "new", MEANING, {"num_seeds": 1})
  first.append([{"seed": 0}, {"seed": 1}])
  first.close()
  second = WorkDir(tmp_path / "new", MEANING, {"num_seeds": 5})
  assert second.rows() == [{"seed": 0}, {"seed": 1}]
  config = json.loads((tmp_path / "new" / "config.json").read_text())
  assert config["extent"] == {"num_seeds": 5}
  assert "jax" in config["versions"]


def test_another_configuration_is_refused_and_changes_nothing(tmp_path):
  WorkDir(tmp_path, MEANING, {}).close()
  before = (tmp_path / "config.json").read_text()
  with pytest.raises(InputError, match="was made with k = 60, now it is 30"):
    WorkDir(tmp_path, {**MEANING, "k": 30}, {})
  with pytest.raises(InputError, match="was made with lambda_ = None, now it is 1"):
    WorkDir(tmp_path, {**MEANING, "lambda_": 1}, {})
  assert (tmp_path / "config.json").read_text() == before


def test_a_last_line_cut_short_is_dropped(tmp_path):
  workdir = WorkDir(tmp_path, MEANING, {})
  workdir.append([{"seed": 0}])
  with open(tmp_path / "results.jsonl", "a") as file:
    file.write('{"seed": 1, "cla')
  assert workdir.rows() == [{"seed": 0}]
  workdir.keep(workdir.rows())
  workdir.append([{"seed": 1}])
  assert workdir.rows() == [{"seed": 0}, {"seed": 1}]


def test_a_damaged_line_is_named(tmp_path):
  workdir = WorkDir(tmp_path, MEANING, {})
  (tmp_path / "results.jsonl").write_text('{"seed": 0}\nnonsense\n')
  with pytest.raises(InputError, match=r"results\.jsonl, line 2: not a row"):
    workdir.rows()
  (tmp_path / "results.jsonl").write_text("[1, 2]\n")
  with pytest.raises(InputError, match="line 1: not a row"):
    workdir.rows()


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_configuration_is_named(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(InputError, match=r"config\.json: unreadable"):
    WorkDir(tmp_path, MEANING, {})


def test_rows_without_configuration_are_refused(tmp_path):
  (tmp_path / "results.jsonl").write_text('{"seed": 0}\n')
  with pytest.raises(InputError, match="is missing, but results"):
    WorkDir(tmp_path, MEANING, {})


def test_one_process_at_a_time(tmp_path):
  first = WorkDir(tmp_path, MEANING, {})
  with pytest.raises(InputError, match="another process is using it"):
    WorkDir(tmp_path, MEANING, {})
  first.close()
  WorkDir(tmp_path, MEANING, {}).close()


def test_a_path_that_is_no_directory(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(InputError, match="take another directory"):
    WorkDir(tmp_path / "file", MEANING, {})
