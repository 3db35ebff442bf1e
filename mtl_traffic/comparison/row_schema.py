"""Checks the fields of a row of results, because people copy and edit such files."""

import math
from collections.abc import Callable, Mapping

from mtl_traffic.errors import InputError
from mtl_traffic.tasks import MAIN_TASKS

_MOST = 2**53  # JSON readers represent whole numbers exactly up to this one.


def check(row: Mapping[str, object]) -> None:
  """Checks that a row has every field that a report reads, with the right type.

  Raises:
    InputError: naming the field that is missing or invalid.
  """
  for name, (must_be, holds) in _FIELDS.items():
    if name not in row:
      raise InputError(
        f"the row lacks the field {name}, so another version of mtl_traffic wrote it; "
        "move the directory elsewhere"
      )
    if not holds(row[name]):
      shown = repr(row[name])
      shown = shown if len(shown) <= 40 else f"{shown[:40]}…"
      raise InputError(
        f"{name} is {shown}, must be {must_be}; remove the line to run it again"
      )


def _is_number(value: object) -> bool:
  is_number = isinstance(value, int | float) and not isinstance(value, bool)
  return is_number and abs(value) <= _MOST


def _is_whole(value: object) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _is_fraction(value: object) -> bool:
  return value is None or (_is_number(value) and (0 <= value <= 1 or math.isnan(value)))


def _is_confusion(value: object) -> bool:
  if value is None:
    return True
  return isinstance(value, list) and all(
    isinstance(line, list) and len(line) == len(value) and all(map(_is_whole, line))
    for line in value
  )


def _are(kind: Callable[[object], bool]) -> Callable[[object], bool]:
  return lambda value: isinstance(value, list) and all(map(kind, value))


def _is_text(value: object) -> bool:
  return isinstance(value, str)


_TEXT = ("text", _is_text)
_WHOLE = ("a whole number", _is_whole)
_NUMBER = ("a number", _is_number)
_NUMBERS = ("numbers", _are(_is_number))
_FIELDS = {
  "dataset": _TEXT,
  "partition": _TEXT,
  "method": _TEXT,
  "labels_per_class": (
    "a whole number or text",
    lambda value: _is_text(value) or _is_whole(value),
  ),
  "seed": _WHOLE,
  "k": _WHOLE,
  "packets": _WHOLE,
  "lambda": _NUMBER,
  "learning_rate": _NUMBER,
  "clip_norm": _NUMBER,
  "tasks": ("names", _are(_is_text)),
  "bandwidth_dividers": _NUMBERS,
  "duration_dividers": _NUMBERS,
  "signed_lengths": ("true or false", lambda value: isinstance(value, bool)),
  "mask": _TEXT,
  "balancing": _TEXT,
  "labelling": _TEXT,
  "shortest_prefix": (
    "a whole number or null",
    lambda value: value is None or _is_whole(value),
  ),
  "seconds": _NUMBER,
}
for _task in ("class", *MAIN_TASKS):
  _FIELDS[f"{_task}_accuracy"] = ("a fraction or null", _is_fraction)
  _FIELDS[f"{_task}_confusion"] = ("a square of counts, or null", _is_confusion)
