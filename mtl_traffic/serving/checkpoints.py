"""A trained model on disk: everything that answering for flows needs.

A folder with `model.json`, what the model is and how its answers are called, and
`parameters/`, written by Orbax. `model.json` is written last and holds a digest of
itself and of the parameters, so what is there is whole or is refused.
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
from mtl_traffic.data.captures.assembly import Rules
from mtl_traffic.errors import InputError, first_line
from mtl_traffic.methods.base import Method, Parameters
from mtl_traffic.tasks import UNITS

FORMAT = 3  # To be raised when an older reader would misunderstand.
_DESCRIPTION, _PARAMETERS = "model.json", "parameters"
_VERSIONED = ("mtl_traffic", "jax", "flax", "numpy", "orbax-checkpoint")


@dataclasses.dataclass(frozen=True)
class Description:
  """What a trained model is, apart from its parameters.

  Attributes:
    method: its name in `methods.METHODS`.
    settings: the method's static settings.
    k: packets that it reads.
    min_packets: it was trained on flows of at least so many packets.
    rules: what its flows were made by, of `captures.Rules.shared` as much as is known,
      "payload_lengths" in any case.
    class_names: the traffic classes.
    dividers: of every other task that it answers, ascending, in its unit
      (`tasks.UNITS`).
    temperatures: of every task that it answers, what calibrates its probabilities.
  """

  method: str
  settings: Mapping[str, object]
  k: int
  min_packets: int
  rules: Mapping[str, object]
  class_names: tuple[str, ...]
  dividers: Mapping[str, tuple[float, ...]]
  temperatures: Mapping[str, float]

  def make(self) -> Method:
    """The method, to be asked with parameters."""
    return methods.make(self.method, self.settings)

  @property
  def shortest_prefix(self) -> int:
    """From how many packets on the model can answer."""
    return self.settings.get("shortest_prefix") or self.k

  def names(self) -> dict[str, tuple[str, ...]]:
    """What the classes of each task are called."""
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
  """Raises an InputError if a model is there already, or cannot be written there."""
  path = pathlib.Path(path)
  if (path / _DESCRIPTION).exists():
    raise InputError(f"{path}: holds a trained model already; take another directory")
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}; take another directory") from None


def save(
  path: str | os.PathLike, description: Description, parameters: Parameters
) -> None:
  """Writes a trained model to a folder.

  Args:
    path: the folder; a model that it holds is replaced.
    description: what the model is.
    parameters: those of M members of an ensemble, M as leading axis: dictionaries of
      arrays.
  """
  from orbax.checkpoint import v1 as ocp  # Takes a second, which not all need.

  path = pathlib.Path(path).absolute()
  path.mkdir(parents=True, exist_ok=True)
  (path / _DESCRIPTION).unlink(missing_ok=True)
  shutil.rmtree(path / _PARAMETERS, ignore_errors=True)
  parameters = jax.tree.map(np.asarray, parameters)
  with _quiet():
    ocp.save(path / _PARAMETERS, parameters)
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
    InputError: there is no model, it is cut short or damaged, or of another format.
  """
  path = pathlib.Path(path).absolute()
  content = _read_description(path)
  try:
    description = _parse(content)
    description.make()
  except InputError as error:
    raise InputError(f"{path / _DESCRIPTION}: {error}") from None
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise InputError(
      f"{path / _DESCRIPTION}: cannot be used ({first_line(error)}); "
      "train the model again"
    ) from None
  parameters = _read_parameters(path / _PARAMETERS)
  if _digest(content, parameters) != content["digest"]:
    raise InputError(
      f"{path}: {_DESCRIPTION} or the parameters are not what training wrote; train "
      "the model again"
    )
  return description, parameters


def _read_description(path: pathlib.Path) -> dict:
  file = path / _DESCRIPTION
  try:
    content = json.loads(file.read_text(encoding="utf-8"))
  except FileNotFoundError:
    raise InputError(
      f"{path}: holds no trained model, {_DESCRIPTION} is missing; give the directory "
      "that a model was trained to"
    ) from None
  except (OSError, ValueError) as error:
    raise InputError(
      f"{file}: cannot be read ({first_line(error)}); train the model again"
    ) from None
  form = content.get("format") if isinstance(content, dict) else None
  if form != FORMAT:
    raise InputError(
      f"{file}: is of format {form}, this version reads {FORMAT}; train the model again"
    )
  names = [field.name for field in dataclasses.fields(Description)] + ["digest"]
  missing = [name for name in names if name not in content]
  if missing:
    raise InputError(f"{file}: lacks {', '.join(missing)}; train the model again")
  return content


def _parse(content: Mapping) -> Description:
  fields = {
    field.name: content[field.name] for field in dataclasses.fields(Description)
  }
  settings = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in fields["settings"].items()
  }
  Rules().with_shared(fields["rules"])  # Raises if there can be no such rules.
  return Description(
    **fields
    | {
      "settings": settings,
      "class_names": tuple(fields["class_names"]),
      "dividers": {task: tuple(d) for task, d in fields["dividers"].items()},
    }
  )


def _read_parameters(path: pathlib.Path) -> Parameters:
  from orbax.checkpoint import v1 as ocp

  try:
    with _quiet():
      return ocp.load(path)
  # What Orbax and TensorStore raise of a damaged folder is of any kind.
  except Exception as error:
    raise InputError(
      f"{path}: cannot be read ({first_line(error)}); train the model again"
    ) from None


def _digest(content: Mapping, parameters: Parameters) -> str:
  """Of everything that `model.json` says but the digest, and of the parameters."""
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
    # The package itself may be used without being installed.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[name] = importlib.metadata.version(name)
  return versions


@contextlib.contextmanager
def _quiet():
  """Keeps back what Orbax tells of each of its steps."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.WARNING)
  try:
    yield
  finally:
    logging.set_verbosity(before)
