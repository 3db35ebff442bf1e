"""What the commands that read captures share: which, and what makes a flow."""

import pathlib

from absl import flags

from mtl_traffic.data import captures
from mtl_traffic.errors import InputError

_RULES = ("udp_silence_s", "tcp_idle_s", "tcp_active_s", "rst_ends")


def define(defaults: captures.Rules | None) -> None:
  """Defines the flags.

  Args:
    defaults: the rules where no flag gives others; None if something else does.
  """
  of_model = "" if defaults else "; those of the model's flows by default"
  flags.DEFINE_list(
    "captures", None, "Capture files; patterns such as 'DIR/*.pcap' are expanded."
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


def given() -> dict[str, object]:
  """The rules of flows that the flags give."""
  values = {name: flags.FLAGS[name].value for name in _RULES}
  return {name: value for name, value in values.items() if value is not None}


def find_captures() -> list[pathlib.Path]:
  """The captures that the flags name.

  Raises:
    InputError: none is named, or one cannot be read.
  """
  if not flags.FLAGS.captures:
    raise InputError("--captures is missing; give files, e.g. 'captures/*.pcap'")
  try:
    return captures.find(flags.FLAGS.captures)
  except InputError as error:
    raise InputError(f"--captures: {error}") from None
