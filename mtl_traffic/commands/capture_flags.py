"""What the commands that read captures share: which, and what makes a flow."""

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


LIVE_REORDER_S = 0.01  # As answers must not wait.
_MOST_NAMES = 5  # That a message lists.


def define(defaults: captures.Rules | None) -> None:
  """Defines the flags.

  Args:
    defaults: the rules where no flag gives others; None if something else does.
  """
  of_model = "" if defaults else "; those of the model's flows by default"
  flags.DEFINE_multi_string(
    "captures",
    None,
    "Capture files, separated by commas: paths, patterns such as 'DIR/*.pcap', or "
    "folders. Files that follow each other in time count as one capture.",
  )
  flags.DEFINE_bool(
    "each_capture_alone",
    False,
    "Read each file by itself: end its flows where it ends, even if another follows.",
  )
  flags.DEFINE_bool(
    "skip_bad_files",
    False,
    "Log files that are not captures, and continue with the others.",
  )
  flags.DEFINE_float(
    "reorder_s",
    None,
    "How late packets may come and still be put in order, in seconds; by default "
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
    "Whether to leave out copies of packets, of the interface 'any' and of mirror "
    f"ports{of_model}.",
  )


def define_answers() -> None:
  """Defines the flags of commands that ask a model."""
  flags.DEFINE_list(
    "packets",
    None,
    "Numbers of packets after which to answer, such as '5,10,60', for a model that was "
    "trained on prefixes; k by default.",
  )
  flags.DEFINE_float(
    "threshold",
    0.0,
    "The answer is 'unknown' if its certainty is below this. Certainty is 1 for a sure "
    "answer, 0.5 if two classes are equally probable, and lower for a flow that is "
    "unlike the training flows.",
    lower_bound=0,
    upper_bound=1,
  )


def define_labels(what: str) -> None:
  """Defines --labels.

  Args:
    what: the file gives, and what for.
  """
  flags.DEFINE_string(
    "labels", None, f"A CSV file of {what}; its columns are those of extract-flows."
  )


def given() -> dict[str, object]:
  """The rules of flows that the flags give."""
  values = {name: flags.FLAGS[name].value for name in _RULES}
  return {name: value for name, value in values.items() if value is not None}


def reorder_s(default: float) -> float:
  """How late packets may come, in seconds."""
  return default if flags.FLAGS.reorder_s is None else flags.FLAGS.reorder_s


def patterns() -> list[str]:
  """What --captures names, part by part."""
  return [part for text in flags.FLAGS.captures or () for part in _split(text)]


def find_captures() -> list[pathlib.Path]:
  """The captures that the flags name.

  Raises:
    InputError: none is named, or one cannot be read.
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
  """What --labels gives; None without.

  Raises:
    InputError: it cannot be read.
  """
  if not flags.FLAGS.labels:
    return None
  with cli.naming("--labels"):
    return labels.read_labels(flags.FLAGS.labels)


def points(predictor: "Predictor") -> list[int]:
  """The packets at which a model is to answer.

  Raises:
    InputError: they are no numbers, or the model cannot.
  """
  if flags.FLAGS.packets is None:
    return [predictor.k]
  given_ = ",".join(flags.FLAGS.packets)
  try:
    numbers = sorted({int(point) for point in flags.FLAGS.packets})
  except ValueError:
    raise InputError(f"--packets={given_}: must be numbers, '5,10,60' say") from None
  if not numbers:
    raise InputError("--packets=: give numbers, '5,10,60' say")
  for point in numbers:
    predictor.check_num_packets(point)
  return numbers


def chains(paths: Sequence[pathlib.Path]) -> list[list[pathlib.Path]]:
  """Files as captures, of which those that follow each other in time are one."""
  if flags.FLAGS.each_capture_alone:
    return [[path] for path in paths]
  return captures.sources.chains(paths, functools.partial(map, captures.sources.span))


def rules_of_model(
  trained: Mapping[str, object], max_packets: int, wait: float
) -> captures.Rules:
  """What makes a flow: as when a model was trained, unless flags say otherwise.

  Args:
    trained: what made the flows that the model was trained on.
    max_packets: packets of each flow to keep.
    wait: how late packets may come, in seconds, if no flag says.
  """
  rules = captures.Rules(
    max_packets=max_packets, reorder_s=reorder_s(wait)
  ).with_shared({**trained, **given()})
  for name, value in given().items():
    if trained.get(name, value) != value:
      logging.warning(
        "--%s=%s: the model was trained on flows of %s, so its answers may be worse",
        name,
        value,
        trained[name],
      )
  return rules


def unused_labels(
  known: Labels, accounts: captures.Accounts, read: Collection[pathlib.Path]
) -> list[str]:
  """What to say of labels that give no flow its class, a line for each kind.

  Args:
    known: the labels.
    accounts: which of them applied to flows.
    read: the captures that were read.
  """
  said = [
    f"lines {line} and {other} contradict each other on {n} flows, which have no label"
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
    said.append(f"rows that fit no flow, by line: {listed(lines)}")
  # Kept aside on purpose, most likely.
  others = sorted({*known.captures} - names)
  if others:
    such_as = f", such as {for_terminal(others[0])}"
    said.append(f"captures that are named, but were not read: {len(others)}{such_as}")
  return said


def listed(names: Collection[str]) -> str:
  """Names in a row, in order, the last of many left out."""
  first = sorted(names)[:_MOST_NAMES]
  others = len(names) - len(first)
  shown = ", ".join(for_terminal(name.strip()) for name in first)
  return shown + (f" and {others} more" if others else "")


def _split(text: str) -> list[str]:
  """The parts between commas, but for commas in the names of files that are there."""
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
