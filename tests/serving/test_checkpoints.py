import json
import shutil

import jax
import numpy as np
import pytest

from mtl_traffic.errors import InputError
from mtl_traffic.serving import checkpoints
from tests.serving.model_maker import make_model


@pytest.fixture
def saved(tmp_path):
  checkpoints.save(tmp_path / "model", *make_model(num_members=2))
  return tmp_path / "model"


def test_what_is_loaded_is_what_was_saved(saved):
  description, parameters = make_model(num_members=2)
  loaded, loaded_parameters = checkpoints.load(saved)
  assert loaded == description
  assert loaded.make() == description.make()
  assert loaded.names() == description.names()
  jax.tree.map(np.testing.assert_array_equal, loaded_parameters, parameters)
  assert not list(saved.glob("*.partial"))


def test_a_model_knows_its_training_flows_of_each_class_if_it_is_new(tmp_path):
  checkpoints.save(tmp_path, *make_model(class_counts=(3, 0, 9)))
  assert checkpoints.load(tmp_path)[0].class_counts == (3, 0, 9)
  # Older models lack the field.
  content = json.loads((tmp_path / "model.json").read_text())
  assert content.pop("class_counts") == [3, 0, 9]
  content["digest"] = checkpoints._digest(content, checkpoints.load(tmp_path)[1])
  (tmp_path / "model.json").write_text(json.dumps(content))
  assert checkpoints.load(tmp_path)[0].class_counts == ()


def test_a_model_says_what_it_is_to_whoever_reads_the_file(saved):
  content = json.loads((saved / "model.json").read_text())
  assert content["names"]["duration"] == ["under 2.5 s", "from 2.5 s"]
  assert content["units"] == {"bandwidth": "bytes/s", "duration": "s"}
  assert content["num_members"] == 2 and content["rules"]["udp_silence_s"] == 15.0
  assert {"python", "jax", "numpy"} <= content["versions"].keys()


def _change(saved, **fields):
  path = saved / "model.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _swap(saved):
  """Puts the parameters of another model in the place of these."""
  other = saved.parent / "other"
  checkpoints.save(other, *make_model(num_members=3))
  shutil.rmtree(saved / "parameters")
  (other / "parameters").rename(saved / "parameters")


def _cut_largest(saved):
  files = [path for path in (saved / "parameters").rglob("*") if path.is_file()]
  largest = max(files, key=lambda path: path.stat().st_size)
  largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda s: (s / "model.json").unlink(), "holds no trained model"),
    (lambda s: (s / "model.json").write_text('{"format'), "cannot be read"),
    (lambda s: (s / "model.json").write_text('{"format": 3}'), "lacks method"),
    (lambda s: (s / "model.json").write_text("[]"), "no JSON object"),
    (lambda s: _change(s, format=2), "is of format 2, this version reads 3"),
    (lambda s: _change(s, method="transformer"), 'method is "transformer"'),
    (lambda s: _change(s, settings=[]), "settings is []"),
    (lambda s: _change(s, rules={"colour": 1}), 'rules is {"colour": 1}'),
    (lambda s: _change(s, rules={"udp_silence_s": -1}), "rules is {"),
    (lambda s: _change(s, dividers=3), "dividers is 3"),
    # Whatever else is changed shows in the digest.
    (lambda s: _change(s, k=60), "are not what training wrote"),
    (lambda s: _change(s, k="many"), 'k is "many"'),
    (lambda s: _change(s, class_names=["a", "c", "b"]), "are not what training wrote"),
    (lambda s: _change(s, digest="0"), "are not what training wrote"),
    (_swap, "are not what training wrote"),
    (_cut_largest, "parameters: cannot be read"),
  ],
)
def test_what_cannot_be_used_gets_one_clear_line(saved, damage, message):
  damage(saved)
  with pytest.raises(InputError) as error:
    checkpoints.load(saved)
  assert message in str(error.value)
  assert "\n" not in str(error.value) and str(saved) in str(error.value)


def test_a_folder_with_a_model_is_not_taken_again(saved, tmp_path):
  checkpoints.check_absent(tmp_path / "other")
  with pytest.raises(InputError, match="holds a trained model already"):
    checkpoints.check_absent(saved)


def test_names_of_ranges():
  assert checkpoints.range_names((26_913.4, 2_971_200.0), "bytes/s") == (
    "under 26.91 kB/s",
    "26.91 to 2971 kB/s",
    "from 2971 kB/s",
  )
  assert checkpoints.range_names((0.5,), "s") == ("under 0.5 s", "from 0.5 s")
  assert checkpoints.range_names((3.0,), "") == ("under 3", "from 3")
  assert checkpoints.range_names((), "s") == ("any",)
