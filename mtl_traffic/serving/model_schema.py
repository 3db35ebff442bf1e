"""Checks the content of `model.json` before any of it is used.

A model may come from an untrusted source. Its digest detects damage, not malice:
whoever writes a file can write its digest too.
"""

import dataclasses
import itertools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping

from mtl_traffic import methods
from mtl_traffic.data.captures import Rules
from mtl_traffic.errors import InputError
from mtl_traffic.methods.base import Method

MOST_PACKETS = 10_000  # The most packets of a flow that a model may read.
_MOST_BYTES = 1 << 22
_MOST_NAMES, _LONGEST_NAME = 10_000, 1000
_MOST_FLOWS = 2**53  # Whole numbers up to this are exact as float64.
_MOST_FACTS = 100  # Entries of "data".
_TEMPERATURES = (1e-3, 1e3)
_OPTIONAL = ("class_counts", "data")  # Older models lack these fields.


def parse(text: bytes) -> dict:
  """The fields of a model.json.

  Raises:
    ValueError: it is no JSON object, or larger than any that training writes.
  """
  if len(text) > _MOST_BYTES:
    raise ValueError(f"over {_MOST_BYTES} bytes")

  def refuse(constant: str):
    raise ValueError(f"{constant} is not a number in JSON")

  try:
    content = json.loads(text, parse_constant=refuse)
  except RecursionError:
    raise ValueError("nested too deeply") from None
  if not isinstance(content, dict):
    raise ValueError("no JSON object")
  return content


def check(content: Mapping) -> None:
  """Checks that every field exists and is valid.

  Raises:
    InputError: a field is invalid; names it, and what it must be.
  """
  for name, must_be in _FIELDS.items():
    if name not in content:
      if name in _OPTIONAL:
        continue
      raise InputError(f"lacks {name}")
    if not must_be.holds(content[name]):
      raise InputError(f"{name} is {_shown(content[name])}, must be {must_be.text}")
  method = _method(content)
  others = set(method.answered) - {"class"}
  for name, tasks in (("temperatures", {"class", *others}), ("dividers", others)):
    if set(content[name]) != tasks:
      raise InputError(
        f"{name} is of {', '.join(sorted(content[name])) or 'nothing'}, must be of "
        f"{', '.join(sorted(tasks)) or 'nothing'}"
      )
  counts, names = content.get("class_counts"), content["class_names"]
  if counts and len(counts) != len(names):
    raise InputError(f"class_counts has {len(counts)} numbers for {len(names)} classes")
  shortest = getattr(method, "shortest_prefix", None)
  if shortest is not None and not 1 <= shortest <= content["k"]:
    raise InputError(f"settings: shortest_prefix is {shortest}, must be 1 to k")


def _method(content: Mapping) -> Method:
  """Makes the method, after checking the types of its settings."""
  settings = content["settings"]
  method = methods.make(content["method"], {})
  for field in dataclasses.fields(method):
    hint = typing.get_type_hints(type(method))[field.name]
    value = settings.get(field.name)
    if field.name in settings and not _is_a(value, hint):
      raise InputError(
        f"settings: {field.name} is {_shown(value)}, must be of type {hint}"
      )
  unknown = set(settings) - {field.name for field in dataclasses.fields(method)}
  if unknown:
    raise InputError(
      f"settings: {content['method']} has no setting {_shown(min(unknown))}"
    )
  return methods.make(content["method"], frozen(settings))


def frozen(settings: Mapping) -> dict:
  """The settings of a method, with lists turned into tuples."""
  return {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in settings.items()
  }


@dataclasses.dataclass(frozen=True)
class _MustBe:
  text: str
  holds: Callable[[object], bool]


def _is_a(value: object, hint) -> bool:
  """Whether a JSON value has a Python type; tuples are lists in JSON."""
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return any(_is_a(value, one) for one in arguments)
  if origin is tuple:
    if not isinstance(value, list):
      return False
    if arguments[-1] is Ellipsis:
      return all(_is_a(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(_is_a, value, arguments))
  if hint is float:
    return _is_number(value)
  if hint is int:
    return isinstance(value, int) and not isinstance(value, bool)
  return isinstance(value, hint)


def _is_number(value: object) -> bool:
  is_one = isinstance(value, int | float) and not isinstance(value, bool)
  return is_one and abs(value) < 1e30 and math.isfinite(value)


def check_training(k: int, class_names: tuple[str, ...]) -> None:
  """Raises an InputError if a model with these values could not be loaded again."""
  for name, value in (("k", k), ("class_names", list(class_names))):
    if not _FIELDS[name].holds(value):
      raise InputError(f"{name} is {_shown(value)}, must be {_FIELDS[name].text}")


def _is_count(value: object, least: int, most: int = MOST_PACKETS) -> bool:
  return _is_a(value, int) and least <= value <= most


def _are_names(value: object) -> bool:
  return (
    _is_a(value, tuple[str, ...])
    and 2 <= len(value) <= _MOST_NAMES
    and all(0 < len(name) <= _LONGEST_NAME for name in value)
    and len(set(value)) == len(value)
  )


def _are_dividers(value: object) -> bool:
  return (
    _is_a(value, tuple[float, ...])
    and len(value) < _MOST_NAMES
    and all(low < high for low, high in itertools.pairwise(value))
  )


def _are_counts(value: object) -> bool:
  return isinstance(value, list) and all(_is_count(of, 0, _MOST_FLOWS) for of in value)


def _are_rules(value: object) -> bool:
  if not isinstance(value, dict) or "payload_lengths" not in value:
    return False
  kinds = typing.get_type_hints(Rules)
  if not all(name in kinds and _is_a(of, kinds[name]) for name, of in value.items()):
    return False
  try:
    Rules().with_shared(value)
  except (InputError, TypeError, ValueError):
    return False
  return True


def _each(holds: Callable[[object], bool]) -> Callable[[object], bool]:
  return lambda value: isinstance(value, dict) and all(map(holds, value.values()))


def _is_data(value: object) -> bool:
  return (
    isinstance(value, dict)
    and len(value) <= _MOST_FACTS
    and all(len(name) <= _LONGEST_NAME for name in value)
    and all(
      _is_number(of) or (isinstance(of, str) and len(of) <= _LONGEST_NAME)
      for of in value.values()
    )
  )


_FIELDS = {
  "method": _MustBe(
    "the name of a method", lambda v: v in list(methods.METHODS | methods.ABLATIONS)
  ),
  "settings": _MustBe("settings by name", lambda v: isinstance(v, dict)),
  "k": _MustBe(f"1 to {MOST_PACKETS}", lambda v: _is_count(v, 1)),
  "min_packets": _MustBe("a number of packets", lambda v: _is_count(v, 0, 2**31)),
  "rules": _MustBe("what makes a flow, payload_lengths among it", _are_rules),
  "class_names": _MustBe("two names or more, each once", _are_names),
  "dividers": _MustBe("by task, finite ascending numbers", _each(_are_dividers)),
  "temperatures": _MustBe(
    "by task, {:g} to {:g}".format(*_TEMPERATURES),
    _each(lambda v: _is_number(v) and _TEMPERATURES[0] <= v <= _TEMPERATURES[1]),
  ),
  "class_counts": _MustBe("a number of flows for each class, or empty", _are_counts),
  "data": _MustBe("texts and numbers by name", _is_data),
  "digest": _MustBe("text", lambda v: isinstance(v, str)),
}


def _shown(value: object) -> str:
  text = json.dumps(value)
  return text if len(text) <= 60 else f"{text[:60]}…"
