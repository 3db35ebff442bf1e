import json

import jax
import numpy as np
import pytest

from mtl_traffic import checkpoints
from mtl_traffic.errors import InputError
from tests.model_maker import make_model


@pytest.fixture
def saved(tmp_path):
  checkpoints.save(tmp_path / "model", *make_model(num_networks=2))
  return tmp_path / "model"


def test_what_is_loaded_is_what_was_saved(saved):
  description, variables = make_model(num_networks=2)
  loaded, loaded_variables = checkpoints.load(saved)
  assert loaded.network() == description.network()
  assert loaded.encoding == description.encoding
  assert loaded.names() == description.names()
  assert loaded.temperatures == description.temperatures
  assert loaded.payload_lengths == description.payload_lengths
  jax.tree.map(np.testing.assert_array_equal, loaded_variables, variables)
  assert not list(saved.glob("*.partial"))


def _change(saved, **fields):
  path = saved / "model.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _cut_largest(saved):
  files = [path for path in (saved / "parameters").rglob("*") if path.is_file()]
  largest = max(files, key=lambda path: path.stat().st_size)
  largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda s: (s / "model.json").unlink(), "holds no trained model"),
    (lambda s: (s / "model.json").write_text('{"format'), "cannot be read"),
    (lambda s: (s / "model.json").write_text('{"format": 2}'), "lacks method, k"),
    (lambda s: _change(s, format=1), "is of format 1, this version reads 2"),
    (lambda s: _change(s, model="transformer"), "'transformer' is unknown"),
    (lambda s: _change(s, encoding={"name": "x", "settings": {}}), "encoding 'x'"),
    (lambda s: _change(s, k=60), "not the parameters that model.json describes"),
    (lambda s: _change(s, k=3), "k = 3 packets are too few"),
    (lambda s: _change(s, k="many"), "cannot be used"),
    (lambda s: _change(s, digest="0"), "not the parameters that model.json describes"),
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
