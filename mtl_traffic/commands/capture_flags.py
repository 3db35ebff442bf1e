"""What the commands that read captures share: which, and what makes a flow."""

import glob
import os
import pathlib

from absl import flags, logging

from mtl_traffic.data import captures
from mtl_traffic.errors import InputError

_RULES = (
  "udp_silence_s",
  "tcp_idle_s",
  "tcp_active_s",
  "rst_ends",
  "inner",
  "drop_copies",
)


LIVE_REORDER_S = 0.01  # As answers must not wait.


def define(defaults: captures.Rules | None) -> None:
  """Defines the flags.

  Args:
    defaults: the rules where no flag gives others; None if something else does.
  """
  of_model = "" if defaults else "; those of the model's flows by default"
  flags.DEFINE_multi_string(
    "captures",
    None,
    "Capture files, with commas in between: paths, patterns such as 'DIR/*.pcap', or "
    "folders. Those that follow each other in time are one capture.",
  )
  flags.DEFINE_bool(
    "each_capture_alone", False, "End flows with their file, whatever follows it."
  )
  flags.DEFINE_bool(
    "skip_bad_files", False, "List what is no capture, and go on with the others."
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
    f"Whether to take the innermost of packets in tunnels{of_model}.",
  )
  flags.DEFINE_bool(
    "drop_copies",
    defaults and defaults.drop_copies,
    "Whether to leave out copies of packets, of the interface 'any' and of mirror "
    f"ports{of_model}.",
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
