"""Model folders that somebody made to do harm are refused, in one line."""

import dataclasses
import json
import os
import shutil
import struct
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import RandomForestClassifier

from mtl_traffic import methods
from mtl_traffic.encoding import first_packets
from mtl_traffic.errors import InputError
from mtl_traffic.methods import forest
from mtl_traffic.methods.base import stack
from mtl_traffic.serving import checkpoints, model_schema
from mtl_traffic.serving.checkpoints import Description
from mtl_traffic.serving.predictor import Answers, load_model

K = 8


def _description(method, **changes):
  made = methods.make(method, {})
  fields = {
    "method": method,
    "settings": dataclasses.asdict(made),
    "k": K,
    "min_packets": 1,
    "rules": {"payload_lengths": False},
    "class_names": ("a", "b", "c"),
    "dividers": {task: (1.0, 2.0) for task in made.answered if task != "class"},
    "temperatures": dict.fromkeys(made.answered, 1.0),
  }
  return Description(**fields | changes)


def _network():
  description = _description("multitask")
  network = description.make().network({"bandwidth": 3, "duration": 3, "class": 3})
  return description, jax.vmap(lambda k: network.init(k, jnp.zeros((1, K, 2))))(
    jax.random.split(jax.random.key(0), 1)
  )


def _forest(flows):
  description = _description("random_forest_online")
  inputs = description.make().inputs(first_packets(flows.packets, K))
  classifier = RandomForestClassifier(3, random_state=0)
  return description, stack(
    [forest.grow(classifier, np.asarray(inputs), flows.classes, 3)]
  )


@pytest.fixture(scope="module")
def network(tmp_path_factory):
  path = tmp_path_factory.mktemp("models") / "network"
  checkpoints.save(path, *_network())
  return path


@pytest.fixture
def rewritten(network, tmp_path):
  """Writes model.json anew, with fields changed and a digest that fits."""
  content = json.loads((network / "model.json").read_text())
  _, parameters = checkpoints.load(network)

  def write(**fields):
    changed = content | fields
    changed["digest"] = checkpoints._digest(changed, parameters)
    shutil.copytree(network / "parameters", tmp_path / "parameters")
    (tmp_path / "model.json").write_text(json.dumps(changed))
    return tmp_path

  return write


def test_a_model_with_a_digest_that_fits_loads(rewritten):
  assert load_model(rewritten(min_packets=2)).description.min_packets == 2


NAN = float("nan")
ONES = {"bandwidth": 1.0, "duration": 1.0, "class": 1.0}
TWO = {"bandwidth": [1.0, 2.0], "duration": [1.0, 2.0]}


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"temperatures": ONES | {"class": 0.0}}, "temperatures is"),
    ({"temperatures": ONES | {"class": -1.0}}, "must be by task, 0.001 to 1000"),
    ({"temperatures": ONES | {"class": NAN}}, "NaN is not a number"),
    ({"temperatures": ONES | {"class": "1"}}, "temperatures is"),
    ({"temperatures": [1.0]}, "temperatures is"),
    ({"temperatures": {"class": 1.0}}, "temperatures is of class, must be of"),
    ({"dividers": TWO | {"duration": [2.0, 1.0]}}, "finite ascending numbers"),
    ({"dividers": TWO | {"duration": [1.0, 1e999]}}, "Infinity is not a number"),
    ({"dividers": TWO | {"duration": 1.0}}, "dividers is"),
    ({"dividers": TWO | {"mood": [1.0]}}, "dividers is of bandwidth, duration, mood"),
    ({"dividers": TWO | {"duration": [1.0]}}, "duration has 2 names for scores"),
    ({"class_names": ["a"]}, "class_names is"),
    ({"class_names": ["a", "a", "b"]}, "two names or more, each once"),
    ({"class_names": ["a", "b"]}, "class has 2 names for scores"),
    ({"class_names": {"a": 1, "b": 2}}, "class_names is"),
    ({"class_names": ["a", "b", "c" * 2000]}, "class_names is"),
    ({"class_counts": [1, 2]}, "class_counts has 2 numbers for 3 classes"),
    ({"class_counts": [1, 2, -1]}, "class_counts is [1, 2, -1], must be a number of"),
    ({"class_counts": [1, 2, 1.5]}, "class_counts is"),
    ({"class_counts": [1, 2, 10**300]}, "class_counts is"),
    ({"class_counts": [1, 2, True]}, "class_counts is"),
    ({"class_counts": {"a": 1}}, "class_counts is"),
    ({"k": "8"}, 'k is "8", must be 1 to'),
    ({"k": True}, "k is true"),
    ({"k": 10**12}, "k is 1000000000000"),
    ({"k": 9.0}, "k is 9.0"),
    ({"k": 2}, "cannot be the parameters of this model"),
    ({"min_packets": -1}, "min_packets is -1"),
    ({"rules": {}}, "rules is"),
    ({"rules": {"payload_lengths": 1}}, "rules is"),
    ({"rules": {"payload_lengths": True, "udp_silence_s": -1.0}}, "rules is"),
    ({"rules": {"payload_lengths": True, "max_packets": 5}}, "rules is"),
    ({"settings": []}, "settings is"),
    ({"settings": {"epochs": "many"}}, "settings: epochs is"),
    ({"settings": {"shortest_prefix": 99}}, "shortest_prefix is 99, must be 1 to k"),
    ({"settings": {"iat_range": [0.0]}}, "settings: iat_range"),
    ({"settings": {"exec": "rm"}}, 'settings: multitask has no setting "exec"'),
    ({"method": "os.system"}, "must be the name of a method"),
    ({"method": ["multitask"]}, "must be the name of a method"),
    ({"digest": 0, "format": [0] * 1000}, "is of format"),
  ],
)
def test_what_a_description_cannot_say_is_named(rewritten, fields, message):
  with pytest.raises(InputError) as error:
    load_model(rewritten(**fields))
  assert message in str(error.value)
  assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("[" * 200_000, "nested too deeply"),
    ("[]", "no JSON object"),
    ('{"format": 3}', "lacks method"),
    ('{"a": "' + "x" * 5_000_000 + '"}', "over 4194304 bytes"),
    ("\udcff", "cannot be read"),
  ],
)
def test_what_is_no_description_is_said(network, tmp_path, text, message):
  (tmp_path / "model.json").write_bytes(text.encode(errors="surrogateescape"))
  with pytest.raises(InputError, match=message):
    load_model(tmp_path)


def test_a_forest_of_ours_is_sound(flows, tmp_path):
  checkpoints.save(tmp_path, *_forest(flows))
  answers = load_model(tmp_path)(flows)
  assert np.isfinite(answers.probabilities["class"]).all()


def _set(array, place, value):
  array = np.array(array)
  array[0, place] = value
  return array


@pytest.mark.parametrize(
  ("name", "change"),
  [
    # A node that leads to itself without being a leaf, and one that leads back.
    ("children", lambda a: _set(a, 0, 0)),
    ("children", lambda a: _set(a, 1, 0)),
    ("children", lambda a: _set(a, 0, 10**6)),
    ("children", lambda a: _set(a, 0, -5)),
    ("features", lambda a: _set(a, 0, 10**6)),
    ("features", lambda a: _set(a, 0, -1)),
    ("thresholds", lambda a: _set(a, 0, np.nan)),
    ("roots", lambda a: _set(a, 0, a.max() + 10**6)),
    ("roots", lambda a: _set(a, 0, -1)),
    ("values", lambda a: _set(a, 0, np.nan)),
    ("children", lambda a: np.asarray(a)[:, :-1]),
    ("children", lambda a: np.asarray(a, np.float32)),
  ],
)
def test_a_forest_whose_walks_have_no_end_is_refused(flows, tmp_path, name, change):
  description, parameters = _forest(flows)
  parameters = {**parameters, name: change(parameters[name])}
  checkpoints.save(tmp_path, description, parameters)
  with pytest.raises(InputError, match="cannot be the parameters of this model"):
    load_model(tmp_path)


@pytest.mark.parametrize(
  "change",
  [
    lambda leaf: leaf * np.nan,
    lambda leaf: leaf[:, :1],
    lambda leaf: leaf.astype(np.complex64),
  ],
)
def test_parameters_that_do_not_fit_are_refused(tmp_path, change):
  description, parameters = _network()
  checkpoints.save(tmp_path, description, jax.tree.map(change, parameters))
  with pytest.raises(InputError, match=r"parameters: cannot be"):
    load_model(tmp_path)


def test_arrays_larger_than_the_limit_are_not_read(network, monkeypatch):
  # Zeros take no room on disk: a few kilobytes would become any number of gigabytes.
  from orbax.checkpoint import v1 as ocp

  monkeypatch.setattr(checkpoints, "_MOST_BYTES", 1000)
  monkeypatch.setattr(ocp, "load", lambda path: pytest.fail("was read"))
  with pytest.raises(InputError, match="bytes in memory, more than 1000"):
    load_model(network)


def test_a_link_out_of_the_folder_is_not_followed(network, tmp_path):
  shutil.copytree(network, tmp_path, dirs_exist_ok=True)
  largest = max((tmp_path / "parameters").rglob("*/d/*"), key=os.path.getsize)
  moved = tmp_path / "elsewhere"
  largest.rename(moved)
  largest.symlink_to(moved)
  with pytest.raises(InputError, match="is a link"):
    load_model(tmp_path)


def _relabelled(network, tmp_path, change):
  """A copy of the model, with other metadata of its arrays."""
  copy = shutil.copytree(network, tmp_path / "copy")
  (metadata,) = copy.rglob("_METADATA")
  content = json.loads(metadata.read_text())
  change(content)
  metadata.write_text(json.dumps(content))
  return copy


def _rename(key):
  def change(content):
    for array in content["tree_metadata"].values():
      array["key_metadata"][-1]["key"] = key

  return change


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (_rename("/etc/passwd"), "names an array '/etc/passwd', a path"),
    (_rename("../../secret"), "names an array '../../secret', a path"),
    (_rename(".."), "names an array '..', a path"),
    # Names would be paths of files.
    (lambda content: content.update(use_ocdbt=False), "does not say use_ocdbt"),
    (lambda content: content.pop("use_ocdbt"), "does not say use_ocdbt"),
    (lambda content: content.update(tree_metadata=[]), "does not name its arrays"),
  ],
)
def test_names_of_arrays_lead_nowhere(network, tmp_path, change, message):
  copy = _relabelled(network, tmp_path, change)
  with pytest.raises(InputError, match="parameters: cannot be read ") as error:
    checkpoints.load(copy)
  assert message in str(error.value)


def test_a_manifest_that_names_a_file_elsewhere_is_refused(network, tmp_path):
  copy = shutil.copytree(network, tmp_path / "copy")
  state = copy / "parameters" / "state"
  manifest = state / "manifest.ocdbt"
  content = manifest.read_bytes()
  # After 14 bytes of magic number, length, version and compression; then a CRC.
  packed = pa.BufferReader(content[14:-4])
  plain = pa.CompressedInputStream(packed, "zstd").read()
  (file,) = (state / "d").iterdir()
  elsewhere = "../../../x/" + file.name[:23]  # As long as d/ and the name.
  forged = plain.replace(f"d/{file.name}".encode(), elsewhere.encode())
  assert forged != plain
  (tmp_path / "x").mkdir()
  file.rename(state / elsewhere)
  forged = (
    content[:4]
    + struct.pack("<Q", len(forged) + 18)
    + content[12:13]
    + b"\0"  # Not compressed.
    + forged
  )
  manifest.write_bytes(forged + struct.pack("<I", _crc32c(forged)))
  with pytest.raises(InputError, match="parameters: cannot be read "):
    checkpoints.load(copy)


def _crc32c(data):
  crc = 0xFFFFFFFF
  for byte in data:
    crc ^= byte
    for _ in range(8):
      crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
  return crc ^ 0xFFFFFFFF


def test_loading_runs_no_code(network):
  program = f"""
    import sys
    from mtl_traffic.serving.predictor import load_model
    load_model({str(network)!r})  # So that all is imported.

    def watch(event, arguments):
      if event in ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn",
                   "subprocess.Popen", "os.fork", "socket.connect"):
        print("runs", event, arguments)

    sys.addaudithook(watch)
    load_model({str(network)!r})
    print("loaded")
  """
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
  )
  assert done.stdout == "loaded\n", done.stderr


def test_what_could_not_be_loaded_is_not_trained():
  model_schema.check_training(60, ("a", "b"))
  for k, names in ((10**6, ("a", "b")), (60, ("a", "b" * 2000))):
    with pytest.raises(InputError, match="must be"):
      model_schema.check_training(k, names)


def test_an_answer_that_is_no_number_is_unknown():
  answers = Answers({"class": np.array([[NAN, NAN], [0.4, 0.6]])}, {})
  assert answers.labels("class").tolist() == [-1, 1]
