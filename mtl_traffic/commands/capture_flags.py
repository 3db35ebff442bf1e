"""Flags shared by the commands that read captures: captures, rules of flows, labels."""

import functools
import glob
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags, logging

from mtl_traffic.commands import cli
from mtl_traffic.data import captures
from mtl_traffic.data.captures import labels
from mtl_traffic.data.captures.labels import Labels
from mtl_traffic.errors import InputError
from mtl_traffic.escapes import for_terminal

if TYPE_CHECKING:
  from mtl_traffic.serving.predictor import Predictor

_RULES = (
  "udp_silence_s",
  "tcp_idle_s",
  "tcp_active_s",
  "rst_ends",
  "inner",
  "drop_copies",
)


LIVE_REORDER_S = 0.01  # Short, because live answers must not wait.
_MOST_NAMES = 5  # Names listed in one message.


def define(defaults: captures.Rules | None) -> None:
  """Defines the flags.

  Args:
    defaults: the default rules; None if a model provides them.
  """
  of_model = "" if defaults else "; by default as for the model's training flows"
  flags.DEFINE_multi_string(
    "captures",
    None,
    "Capture files, separated by commas: paths, patterns such as 'DIR/*.pcap', or "
    "folders. Files that follow each other in time are read as one capture",
  )
  flags.DEFINE_bool(
    "each_capture_alone",
    False,
    "Read each file separately: flows end with their file, even if another follows.",
  )
  flags.DEFINE_bool(
    "skip_bad_files",
    False,
    "Log files that are not captures, and continue with the others.",
  )
  flags.DEFINE_float(
    "reorder_s",
    None,
    "Largest delay of a packet that is still put in order, in seconds; by default "
    f"{captures.DEFAULT_RULES.reorder_s:g}, or {LIVE_REORDER_S:g} on a pipe.",
    lower_bound=0,
  )
  for name, meaning in (
    ("udp_silence_s", "Silence that ends a UDP flow, in seconds"),
    ("tcp_idle_s", "Silence that ends a TCP flow, in seconds"),
    ("tcp_active_s", "Duration at which a TCP flow is split, in seconds"),
  ):
    default = defaults and getattr(defaults, name)
    none = "; none by default" if defaults and default is None else ""
    flags.DEFINE_float(name, default, f"{meaning}{of_model}{none}.")
  flags.DEFINE_bool(
    "rst_ends",
    defaults and defaults.rst_ends,
    f"Whether a RST ends a TCP flow, as a FIN does{of_model}.",
  )
  flags.DEFINE_bool(
    "inner",
    defaults and defaults.inner,
    f"Whether to decode the innermost packet of tunnels{of_model}.",
  )
  flags.DEFINE_bool(
    "drop_copies",
    defaults and defaults.drop_copies,
    "Whether to drop copies of packets, as the interface 'any' and mirror ports make "
    f"them{of_model}.",
  )


def define_answers() -> None:
  """Defines the flags of commands that use a model."""
  flags.DEFINE_list(
    "packets",
    None,
    "Numbers of packets after which to answer, such as '5,10,60'; k by default. Other "
    "numbers than k need a model that was trained on prefixes.",
  )
  flags.DEFINE_float(
    "threshold",
    0.0,
    "The answer is 'unknown' if its certainty is below this. The certainty is 1 if one "
    "class has probability 1, and 0.5 if two classes are equally probable. It is lower "
    "for flows that are unlike the training flows.",
    lower_bound=0,
    upper_bound=1,
  )


def define_labels(what: str) -> None:
  """Defines --labels.

  Args:
    what: what the file contains, and what for.
  """
  flags.DEFINE_string(
    "labels", None, f"A CSV file of {what}; the columns are those of extract-flows."
  )


def given() -> dict[str, object]:
  """The rules of flows that are set by flags."""
  values = {name: flags.FLAGS[name].value for name in _RULES}
  return {name: value for name, value in values.items() if value is not None}


def reorder_s(default: float) -> float:
  """The largest delay of a packet that is still put in order, in seconds.

  Args:
    default: the value without --reorder_s.
  """
  return default if flags.FLAGS.reorder_s is None else flags.FLAGS.reorder_s


def patterns() -> list[str]:
  """The paths and patterns in --captures."""
  return [part for text in flags.FLAGS.captures or () for part in _split(text)]


def find_captures() -> list[pathlib.Path]:
  """The capture files that --captures names.

  Raises:
    InputError: no file is named, or one cannot be read.
  """
  named = patterns()
  if not named:
    raise InputError("--captures is missing; give files, e.g. 'captures/*.pcap'")
  try:
    return captures.find(
      named,
      flags.FLAGS.skip_bad_files,
      lambda problem: logging.warning("left out: %s", problem),
    )
  except InputError as error:
    raise InputError(f"--captures: {error}") from None


def read_labels() -> Labels | None:
  """The labels in --labels; None without the flag.

  Raises:
    InputError: the file cannot be read.
  """
  if not flags.FLAGS.labels:
    return None
  with cli.naming("--labels"):
    return labels.read_labels(flags.FLAGS.labels)


def points(predictor: "Predictor") -> list[int]:
  """The numbers of packets after which a model answers.

  Raises:
    InputError: --packets has invalid numbers, or numbers that the model cannot answer.
  """
  if flags.FLAGS.packets is None:
    return [predictor.k]
  given_ = ",".join(flags.FLAGS.packets)
  try:
    numbers = sorted({int(point) for point in flags.FLAGS.packets})
  except ValueError:
    raise InputError(f"--packets={given_}: must be numbers, e.g. 5,10,60") from None
  if not numbers:
    raise InputError("--packets=: give numbers, e.g. 5,10,60")
  for point in numbers:
    predictor.check_num_packets(point)
  return numbers


def chains(paths: Sequence[pathlib.Path]) -> list[list[pathlib.Path]]:
  """Groups files into captures; files that follow each other in time are one."""
  if flags.FLAGS.each_capture_alone:
    return [[path] for path in paths]
  return captures.sources.chains(paths, functools.partial(map, captures.sources.span))


def rules_of_model(
  trained: Mapping[str, object], max_packets: int, wait: float
) -> captures.Rules:
  """The rules that make flows: those of the model's training flows, changed by flags.

  Args:
    trained: the rules that made the model's training flows.
    max_packets: number of packets of each flow to keep.
    wait: default of --reorder_s, in seconds.
  """
  rules = captures.Rules(
    max_packets=max_packets, reorder_s=reorder_s(wait)
  ).with_shared({**trained, **given()})
  for name, value in given().items():
    if trained.get(name, value) != value:
      logging.warning(
        "--%s=%s: the model was trained on flows made with %s, so it may be less "
        "accurate",
        name,
        value,
        trained[name],
      )
  return rules


def unused_labels(
  known: Labels, accounts: captures.Accounts, read: Collection[pathlib.Path]
) -> list[str]:
  """Messages about labels that were not used, one line per kind.

  Args:
    known: the labels.
    accounts: the accounts of the flows, with the labels that applied.
    read: the captures that were read.
  """
  said = [
    f"lines {line} and {other} contradict each other; flows without a label because of "
    f"this: {n}"
    for (line, other), n in accounts.contradictions.most_common(_MOST_NAMES)
  ]
  others = len(accounts.contradictions) - len(said)
  if others > 0:
    said.append(f"{others} more pairs of lines contradict each other")
  if known.num_without:
    said.append(f"rows without a label: {known.num_without}")
  names = set(map(captures.sources.name_of, read))
  # Lines in order of number, not of digits.
  lines = [f"{line:>9}" for line in known.unmatched(accounts, names)]
  if lines:
    said.append(f"rows that match no flow, in lines: {listed(lines)}")
  # These captures are probably kept aside for testing.
  others = sorted({*known.captures} - names)
  if others:
    such_as = f", such as {for_terminal(others[0])}"
    said.append(f"captures in this file that were not read: {len(others)}{such_as}")
  return said


def listed(names: Collection[str]) -> str:
  """Names in one line, sorted; of many names, only the first are listed."""
  first = sorted(names)[:_MOST_NAMES]
  others = len(names) - len(first)
  shown = ", ".join(for_terminal(name.strip()) for name in first)
  return shown + (f" and {others} more" if others else "")


def _split(text: str) -> list[str]:
  """Splits a text at commas, except at commas in the names of existing files."""
  pieces, parts, begin = text.split(","), [], 0
  while begin < len(pieces):
    for end in range(len(pieces), begin, -1):
      part = ",".join(pieces[begin:end])
      path = os.path.expanduser(part)
      if end == begin + 1 or os.path.exists(path) or glob.glob(path):
        break
    parts.append(part)
    begin = end
  return parts
