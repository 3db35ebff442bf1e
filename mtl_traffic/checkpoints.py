"""A trained model on disk: everything that answering for flows needs.

A folder with `model.json`, what the model is and how its answers are called, and
`parameters/`, written by Orbax. `model.json` is written last and holds a digest of the
parameters, so what is there is whole or is refused.
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

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from mtl_traffic import models
from mtl_traffic.encoding import Encoding
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Packets
from mtl_traffic.tasks import UNITS

FORMAT = 2  # To be raised when an older reader would misunderstand.
_DESCRIPTION, _PARAMETERS = "model.json", "parameters"
_VERSIONED = ("mtl_traffic", "jax", "flax", "numpy", "orbax-checkpoint")


@dataclasses.dataclass(frozen=True)
class Description:
  """What a trained model is, apart from its parameters.

  Attributes:
    method: what trained it.
    k: packets that it reads.
    shortest_prefix: from how many packets on it can answer; None if only at k.
    min_packets: it was trained on flows of at least so many packets.
    payload_lengths: its lengths and bytes are those of TCP and UDP payload rather than
      of IP packets.
    encoding: how it reads packets.
    model: name in `models.MODELS`.
    model_settings: the model's attributes; `heads` are the tasks and their classes.
    class_names: the traffic classes.
    dividers: of every other task, ascending, in its unit (`tasks.UNITS`).
    temperatures: of every task, what calibrates its probabilities.
  """

  method: str
  k: int
  shortest_prefix: int | None
  min_packets: int
  payload_lengths: bool
  encoding: Encoding
  model: str
  model_settings: Mapping[str, object]
  class_names: tuple[str, ...]
  dividers: Mapping[str, tuple[float, ...]]
  temperatures: Mapping[str, float]

  def network(self) -> nn.Module:
    """The network, to be called with parameters."""
    settings = dict(self.model_settings)
    settings["dtype"] = jnp.dtype(settings["dtype"])
    settings["heads"] = tuple((task, classes) for task, classes in settings["heads"])
    return models.MODELS[self.model](**settings)

  def names(self) -> dict[str, tuple[str, ...]]:
    """What the classes of each task are called."""
    return {
      task: self.class_names
      if task == "class"
      else range_names(self.dividers[task], UNITS.get(task, ""))
      for task, _ in self.model_settings["heads"]
    }


def describe_network(model: nn.Module) -> dict[str, object]:
  """The fields `model` and `model_settings` of a network's description."""
  (name,) = [name for name, kind in models.MODELS.items() if type(model) is kind]
  settings = {
    field.name: getattr(model, field.name)
    for field in dataclasses.fields(model)
    if field.name not in ("parent", "name")
  }
  settings["dtype"] = jnp.dtype(settings["dtype"]).name
  return {"model": name, "model_settings": settings}


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
    raise InputError(f"{path}: holds a trained model already; give another --workdir")
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}; give another --workdir") from None


def save(path: str | os.PathLike, description: Description, variables: Mapping) -> None:
  """Writes a trained model to a folder.

  Args:
    path: the folder; a model that it holds is replaced.
    description: what the model is.
    variables: the parameters of R networks, R as leading axis.
  """
  from orbax.checkpoint import v1 as ocp  # Takes a second, which not all need.

  path = pathlib.Path(path).absolute()
  path.mkdir(parents=True, exist_ok=True)
  (path / _DESCRIPTION).unlink(missing_ok=True)
  shutil.rmtree(path / _PARAMETERS, ignore_errors=True)
  variables = jax.tree.map(np.asarray, variables)
  with _quiet():
    ocp.save(path / _PARAMETERS, variables)
  content = {
    "format": FORMAT,
    **dataclasses.asdict(description),
    "names": description.names(),
    "units": {task: UNITS.get(task, "") for task in description.dividers},
    "num_networks": len(jax.tree.leaves(variables)[0]),
    "digest": _digest(variables),
    "versions": _versions(),
  }
  content["encoding"]["settings"] = dict(description.encoding.settings)
  partial = path / (_DESCRIPTION + ".partial")
  partial.write_text(json.dumps(content, indent=2) + "\n")
  partial.replace(path / _DESCRIPTION)


def load(path: str | os.PathLike) -> tuple[Description, dict]:
  """Reads what `save` wrote: the description, and variables with R as leading axis.

  Raises:
    InputError: there is no model, it is cut short or damaged, or of another format.
  """
  path = pathlib.Path(path).absolute()
  content = _read_description(path)
  fields = {field.name: content[field.name] for field in _fields(content, path)}
  try:
    description = _parse(fields)
    network = description.network()
    expected = jax.eval_shape(
      lambda: network.init(
        jax.random.key(0), description.encoding(_no_packets(), description.k)
      )
    )
  except InputError as error:
    raise InputError(f"{path / _DESCRIPTION}: {error}") from None
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    raise InputError(
      f"{path / _DESCRIPTION}: cannot be used ({_line(error)}); train the model again"
    ) from None
  variables = _read_parameters(path / _PARAMETERS)
  num_networks = content["num_networks"]
  if (
    _shapes(variables)
    != {path: (num_networks, *shape) for path, shape in _shapes(expected).items()}
    or _digest(variables) != content["digest"]
  ):
    raise InputError(
      f"{path / _PARAMETERS}: not the parameters that {_DESCRIPTION} describes; "
      "train the model again"
    )
  return description, variables


def _read_description(path: pathlib.Path) -> dict:
  file = path / _DESCRIPTION
  try:
    content = json.loads(file.read_text())
  except FileNotFoundError:
    raise InputError(
      f"{path}: holds no trained model, {_DESCRIPTION} is missing; give the --workdir "
      "of experiments.train"
    ) from None
  except (OSError, ValueError) as error:
    raise InputError(
      f"{file}: cannot be read ({_line(error)}); train the model again"
    ) from None
  form = content.get("format") if isinstance(content, dict) else None
  if form != FORMAT:
    raise InputError(
      f"{file}: is of format {form}, this version reads {FORMAT}; train the model again"
    )
  return content


def _fields(content: dict, path: pathlib.Path) -> tuple[dataclasses.Field, ...]:
  fields = dataclasses.fields(Description)
  names = [field.name for field in fields] + ["num_networks", "digest"]
  missing = [name for name in names if name not in content]
  if missing:
    raise InputError(
      f"{path / _DESCRIPTION}: lacks {', '.join(missing)}; train the model again"
    )
  return fields


def _parse(fields: dict) -> Description:
  settings = fields["encoding"]["settings"]
  hashable = {n: tuple(v) if isinstance(v, list) else v for n, v in settings.items()}
  encoding = Encoding(fields["encoding"]["name"], tuple(hashable.items()))
  if fields["model"] not in models.MODELS:
    raise InputError(
      f"model {fields['model']!r} is unknown; there are {', '.join(models.MODELS)}"
    )
  return Description(
    **fields
    | {
      "encoding": encoding,
      "class_names": tuple(fields["class_names"]),
      "dividers": {task: tuple(d) for task, d in fields["dividers"].items()},
    }
  )


def _read_parameters(path: pathlib.Path) -> dict:
  from orbax.checkpoint import v1 as ocp

  try:
    with _quiet():
      return ocp.load(path)
  # What Orbax and TensorStore raise of a damaged folder is of any kind.
  except Exception as error:
    raise InputError(
      f"{path}: cannot be read ({_line(error)}); train the model again"
    ) from None


def _shapes(variables: Mapping) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_leaves_with_path(variables)
  return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}


def _digest(variables: Mapping) -> str:
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
    digest.update(jax.tree_util.keystr(path).encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def _no_packets() -> Packets:
  return Packets(
    times=jnp.zeros((1, 1)),
    lengths=jnp.zeros((1, 1), jnp.int32),
    directions=jnp.zeros((1, 1), jnp.int8),
    counts=jnp.zeros(1, jnp.int32),
  )


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


def _line(error: Exception) -> str:
  """What an error says first."""
  lines = str(error).strip().splitlines()
  return lines[0][:200] if lines else type(error).__name__
