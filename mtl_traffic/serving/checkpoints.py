"""Stores trained models on disk, and loads them.

A model is a folder with `model.json`, which describes it and names its classes, and
`parameters/`, written by Orbax. `model.json` is written last and holds a digest of
itself and of the parameters. So incomplete or damaged models are refused.

A folder may come from an untrusted source. Loading runs no code from it, follows no
link out of it, and checks all its content, see `model_schema` and `Method.check`.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import itertools
import json
import math
import os
import pathlib
import platform
import shutil
from collections.abc import Mapping

import jax
import numpy as np
from absl import logging

from mtl_traffic import files, methods
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.errors import InputError, first_line
from mtl_traffic.methods.base import Method, Parameters
from mtl_traffic.serving import model_schema
from mtl_traffic.tasks import UNITS

FORMAT = 3  # Raise it when an older version would misread the model.
_DESCRIPTION, _PARAMETERS = "model.json", "parameters"
_MOST_BYTES = 1 << 30  # Size of the parameters in memory.
_MOST_MEMBERS = 1000
_ROOM = 1 << 25  # Free bytes on the disk that training needs to begin.
_LITTLE_ROOM = 1 << 20  # Bytes of all files except the parameters.
_VERSIONED = ("mtl_traffic", "jax", "flax", "numpy", "orbax-checkpoint")


@dataclasses.dataclass(frozen=True)
class Description:
  """A trained model without its parameters.

  Attributes:
    method: the method's name in `methods.METHODS`.
    settings: the method's static settings.
    k: packets that the model reads.
    min_packets: the model was trained on flows of at least this many packets.
    rules: the rules that made its flows, see `captures.Rules.shared`. Unknown rules are
      left out, but "payload_lengths" is always given.
    class_names: the traffic classes.
    dividers: for every other task that it answers, ascending, in the task's unit
      (`tasks.UNITS`).
    temperatures: for every task that it answers, the temperature that calibrates it.
    class_counts: the labelled training flows of each class; empty = unknown, as for
      older models.
    data: a description of its training and test data by name (`card.data`).
  """

  method: str
  settings: Mapping[str, object]
  k: int
  min_packets: int
  rules: Mapping[str, object]
  class_names: tuple[str, ...]
  dividers: Mapping[str, tuple[float, ...]]
  temperatures: Mapping[str, float]
  class_counts: tuple[int, ...] = ()
  data: Mapping[str, object] = dataclasses.field(default_factory=dict)

  def make(self) -> Method:
    """Makes the method, to be used with the parameters."""
    return methods.make(self.method, self.settings)

  @property
  def shortest_prefix(self) -> int:
    """The fewest packets after which the model can answer."""
    return self.settings.get("shortest_prefix") or self.k

  def differences(self, rules: Mapping[str, object]) -> list[str]:
    """What to say of flows that were made by other rules, a line for each rule."""
    return [
      f"the flows were made with {rule} = {rules[rule]}, but the model's training "
      f"flows with {trained}, so it may be less accurate"
      for rule, trained in self.rules.items()
      if rules.get(rule, trained) != trained
    ]

  def names(self) -> dict[str, tuple[str, ...]]:
    """The class names of each task."""
    return {
      task: self.class_names
      if task == "class"
      else range_names(self.dividers[task], UNITS.get(task, ""))
      for task in self.temperatures
    }


def range_names(dividers: tuple[float, ...], unit: str) -> tuple[str, ...]:
  """What the classes between dividers are called: "10 to 30 s"."""
  factor = 1.0
  if unit == "bytes/s":  # From B/s to what reads well.
    power = 0 if not dividers else min(max(math.log10(max(dividers[0], 1)) // 3, 0), 3)
    factor, unit = 1000.0**power, ("B/s", "kB/s", "MB/s", "GB/s")[int(power)]
  shown = [f"{d / factor:.{4 if d < 1e4 * factor else 9}g}" for d in dividers]
  if not shown:
    return ("any",)
  between = [f"{a} to {b}" for a, b in itertools.pairwise(shown)]
  names = [f"under {shown[0]}", *between, f"from {shown[-1]}"]
  return tuple(f"{name} {unit}".strip() for name in names)


def check_absent(path: str | os.PathLike) -> None:
  """Raises an InputError if a folder holds a model already, or has no room for one."""
  path = pathlib.Path(path)
  if (path / _DESCRIPTION).exists():
    raise InputError(f"{path}: holds a trained model already; take another directory")
  _check_room(path, _ROOM)


def save(
  path: str | os.PathLike, description: Description, parameters: Parameters
) -> None:
  """Writes a trained model to a folder.

  Args:
    path: the folder; a model in it is replaced.
    description: the model's description.
    parameters: the parameters of an ensemble's M members, as dictionaries of arrays
      with M as leading axis.

  Raises:
    InputError: the model cannot be written, for example because the disk is full.
  """
  from orbax.checkpoint import v1 as ocp  # Imported here, since it takes a second.

  path = pathlib.Path(path).absolute()
  parameters = jax.tree.map(np.asarray, parameters)
  try:
    # Checked before anything is removed: on a full disk Orbax prints tracebacks.
    _check_room(path, sum(leaf.nbytes for leaf in jax.tree.leaves(parameters)))
    path.mkdir(parents=True, exist_ok=True)
    (path / _DESCRIPTION).unlink(missing_ok=True)
    for folder in path.glob(f"{_PARAMETERS}*"):  # Also of a killed process.
      shutil.rmtree(folder)
    with _quiet():
      ocp.save(path / _PARAMETERS, parameters)
  except InputError:
    raise
  # Orbax and TensorStore raise errors of many kinds.
  except Exception as error:
    raise InputError(
      f"{path}: the model cannot be written ({first_line(error)}); train it again when "
      "that is solved"
    ) from error
  content = {
    "format": FORMAT,
    **dataclasses.asdict(description),
    "names": description.names(),
    "units": {task: UNITS.get(task, "") for task in description.dividers},
    "num_members": len(jax.tree.leaves(parameters)[0]),
    "versions": _versions(),
  }
  content["digest"] = _digest(content, parameters)
  files.write_text(path / _DESCRIPTION, json.dumps(content, indent=2) + "\n")


def load(path: str | os.PathLike) -> tuple[Description, Parameters]:
  """Reads what `save` wrote.

  Returns:
    The description, and the parameters with the members as leading axis.

  Raises:
    InputError: there is no model, or it is cut short, damaged, of another format, or
      has an invalid value.
  """
  path = pathlib.Path(path).absolute()
  content = read_description(path)
  try:
    model_schema.check(content)
  except InputError as error:
    raise InputError(f"{path / _DESCRIPTION}: {error}; train the model again") from None
  description = _description(content)
  parameters = _read_parameters(path / _PARAMETERS)
  if _digest(content, parameters) != content["digest"]:
    raise InputError(
      f"{path}: {_DESCRIPTION} or the parameters are not what training wrote; train "
      "the model again"
    )
  try:
    _check_parameters(description, parameters)
  # JAX raises errors of many kinds if arrays do not fit.
  except Exception as error:
    raise InputError(
      f"{path / _PARAMETERS}: cannot be the parameters of this model "
      f"({first_line(error)}); train the model again"
    ) from None
  return description, parameters


def _check_room(path: pathlib.Path, num_bytes: int) -> None:
  path = path.absolute()
  there = next(folder for folder in (path, *path.parents) if folder.exists())
  free = shutil.disk_usage(there).free
  if free < num_bytes + _LITTLE_ROOM:
    raise InputError(
      f"{path}: {free} bytes are left on the disk, and a model takes "
      f"{num_bytes + _LITTLE_ROOM}; make room, or take another directory"
    )


def read_description(path: str | os.PathLike) -> dict:
  """Reads the `model.json` of a folder, and checks nothing but its format.

  Raises:
    InputError: the file is missing, cannot be read, or is of another format.
  """
  path = pathlib.Path(path)
  file = path / _DESCRIPTION
  try:
    content = model_schema.parse(file.read_bytes())
  except FileNotFoundError:
    raise InputError(
      f"{path}: holds no trained model, {_DESCRIPTION} is missing; give the directory "
      "that a model was trained to"
    ) from None
  except (OSError, ValueError) as error:
    raise InputError(
      f"{file}: cannot be read ({first_line(error)}); train the model again"
    ) from None
  form = content.get("format")
  if form != FORMAT:
    raise InputError(
      f"{file}: is of format {first_line(ValueError(form))}, this version reads "
      f"{FORMAT}; train the model again"
    )
  return content


def _description(content: Mapping) -> Description:
  names = {field.name for field in dataclasses.fields(Description)}
  fields = {name: value for name, value in content.items() if name in names}
  return Description(
    **fields
    | {
      "settings": model_schema.frozen(fields["settings"]),
      "class_names": tuple(fields["class_names"]),
      "class_counts": tuple(fields.get("class_counts", ())),
      "dividers": {task: tuple(d) for task, d in fields["dividers"].items()},
    }
  )


def _read_parameters(path: pathlib.Path) -> Parameters:
  from orbax.checkpoint import v1 as ocp

  try:
    _check_folder(path)
    with _quiet():
      arrays = jax.tree.leaves(ocp.metadata(path).metadata)
      # Checked here, since arrays of zeros take no room on disk.
      size = sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in arrays)
      if size > _MOST_BYTES:
        raise InputError(f"{size} bytes in memory, more than {_MOST_BYTES}")
      return ocp.load(path)
  # For a damaged folder Orbax and TensorStore raise errors of many kinds.
  except Exception as error:
    raise InputError(
      f"{path}: cannot be read ({first_line(error)}); train the model again"
    ) from None


def _check_folder(path: pathlib.Path) -> None:
  """Raises an InputError if a folder holds links, or anything that is not a file."""
  for metadata in path.rglob("_METADATA"):
    _check_metadata(metadata)
  for parent, folders, names in os.walk(path):
    for name in (*folders, *names):
      entry = pathlib.Path(parent, name)
      if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
        raise InputError(f"{entry.name} is a link or no file")


def _check_metadata(path: pathlib.Path) -> None:
  """Raises an InputError if Orbax's metadata refers to files outside the folder.

  Without OCDBT, a database in the folder, the names of arrays are paths of files, and
  an absolute path would be read. TensorStore itself refuses ".." and paths in
  manifests.
  """
  content = model_schema.parse(path.read_bytes())
  if content.get("use_ocdbt") is not True:
    raise InputError(f"{path.name} does not say use_ocdbt")
  try:
    keys = [
      key["key"]
      for array in content["tree_metadata"].values()
      for key in array["key_metadata"]
    ]
  except (KeyError, TypeError, AttributeError):
    raise InputError(f"{path.name} does not name its arrays") from None
  for key in keys:
    if key in ("", ".", "..") or "/" in str(key):
      raise InputError(f"{path.name} names an array {str(key)[:100]!r}, a path")


def _check_parameters(description: Description, parameters: Parameters) -> None:
  """Raises an error if the parameters do not fit the description."""
  leaves = jax.tree.leaves(parameters)
  sizes = {leaf.shape[:1] for leaf in leaves}
  if len(sizes) != 1 or not 1 <= math.prod(*sizes) <= _MOST_MEMBERS:
    raise InputError("arrays differ in the number of members")
  if any(leaf.dtype.kind not in "fiub" for leaf in map(np.asarray, leaves)):
    raise InputError("not all are numbers")
  method = description.make()
  packet = jax.ShapeDtypeStruct((1, description.k), np.float32)
  count = jax.ShapeDtypeStruct((1,), np.int32)
  packets = FirstPackets(packet, *[packet.update(dtype=np.int32)] * 2, count)
  inputs = jax.eval_shape(method.inputs, packets)
  one = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), parameters
  )
  scores = jax.eval_shape(method.apply, one, inputs)
  for task, names in description.names().items():
    if scores[task].shape != (1, len(names)):
      raise InputError(f"{task} has {len(names)} names for scores {scores[task].shape}")
  method.check(parameters, inputs.shape[1:])


def _digest(content: Mapping, parameters: Parameters) -> str:
  """A digest of `model.json`, without its own digest, and of the parameters."""
  said = {name: value for name, value in content.items() if name != "digest"}
  digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(parameters):
    leaf = np.asarray(leaf)
    digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def _versions() -> dict[str, str]:
  versions = {"python": platform.python_version()}
  for name in _VERSIONED:
    # The package may be used without being installed.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[name] = importlib.metadata.version(name)
  return versions


@contextlib.contextmanager
def _quiet():
  """Silences Orbax's log of its steps."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(before)
