"""What the binaries that read captures share: which, and when their flows end."""

import glob
import os
import pathlib
from collections.abc import Sequence

from absl import flags

from mtl_traffic.data import captures
from mtl_traffic.errors import InputError

_RULES = captures.DEFAULT_RULES
CAPTURES = flags.DEFINE_list(
  "captures", None, "Capture files; patterns such as 'DIR/*.pcap' are expanded."
)
_UDP_SILENCE_S = flags.DEFINE_float(
  "udp_silence_s", _RULES.udp_silence_s, "Silence that ends a UDP flow, in seconds."
)
_TCP_IDLE_S = flags.DEFINE_float(
  "tcp_idle_s", None, "Silence that ends a TCP flow, in seconds; none by default."
)
_TCP_ACTIVE_S = flags.DEFINE_float(
  "tcp_active_s", None, "Duration at which a TCP flow is split; none by default."
)
_RST_ENDS = flags.DEFINE_bool(
  "rst_ends", _RULES.rst_ends, "Whether a RST ends a TCP flow, as a FIN does."
)


def rules(max_packets: int) -> captures.Rules:
  """When flows end, of which so many packets are kept."""
  return captures.Rules(
    max_packets=max_packets,
    udp_silence_s=_UDP_SILENCE_S.value,
    tcp_idle_s=_TCP_IDLE_S.value,
    tcp_active_s=_TCP_ACTIVE_S.value,
    rst_ends=_RST_ENDS.value,
  )


def find_captures(patterns: Sequence[str]) -> list[pathlib.Path]:
  """The files that the patterns name, each once, all of them captures.

  Raises:
    InputError: a pattern names no file, a file is no capture, or two files have one
      name, by which flows and labels could not tell them apart.
  """
  if not patterns:
    raise InputError("--captures is missing; give files, e.g. 'captures/*.pcap'")
  paths = {}
  for pattern in patterns:
    found = sorted(glob.glob(os.path.expanduser(pattern), recursive=True))
    if not found:
      raise InputError(f"--captures={pattern}: no such file")
    for path in map(pathlib.Path, found):
      if paths.setdefault(path.name, path) != path:
        raise InputError(
          f"{path} and {paths[path.name]} have the same name; rename one of them"
        )
      captures.check(path)
  return list(paths.values())


def summary(accounts: captures.Accounts, separator: str = "\n") -> str:
  """What became of the packets, a line each."""
  lines = [
    f"packets: {accounts.num_packets}",
    f"  in flows: {accounts.num_in_flows}",
    *(f"  skipped, {cause}: {n}" for cause, n in accounts.skipped.most_common()),
    f"  in flows, but earlier than a packet before: {accounts.num_late}",
    f"flows: {accounts.num_flows}",
    *(
      f"  {protocol}, ended by {reason}: {n}"
      for (protocol, reason), n in sorted(accounts.flows.items())
    ),
  ]
  return separator.join(lines)
