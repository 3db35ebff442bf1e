"""Flows from captures: reading, decoding and assembly, a module each."""

import glob
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.assembly import DEFAULT_RULES, FlowAssembler, Rules
from mtl_traffic.data.captures.captured_flows import CapturedFlows, EndReason
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.errors import InputError

__all__ = [
  "DEFAULT_RULES",
  "Accounts",
  "CapturedFlows",
  "EndReason",
  "Rules",
  "check",
  "find",
  "read_flows",
]


def read_flows(
  path: str | os.PathLike,
  accounts: Accounts,
  rules: Rules = DEFAULT_RULES,
  progress: Callable[[int], None] = lambda position: None,
) -> Iterator[CapturedFlows]:
  """Yields the flows of a pcap or pcapng file, plain or gzip, as they end.

  Memory depends on the number of open flows, not on the size of the capture.

  Args:
    path: the capture.
    accounts: where packets, flows and warnings are counted.
    rules: what makes a flow.
    progress: is told how many bytes of the file have been read, again and again.

  Raises:
    InputError: there is no such file, or it is not a capture.
  """
  with _open(path) as file:
    decoder = Decoder(accounts, rules.payload_lengths)
    assembler = FlowAssembler(pathlib.Path(path).name, accounts, rules)
    for raw in read_packets(file, str(path), accounts):
      assembler.add(decoder.decode(raw))
      yield from assembler.ended()
      progress(file.tell())
    yield from assembler.finish()


def find(patterns: Sequence[str]) -> list[pathlib.Path]:
  """The files that the patterns name, each once, all of them captures.

  Raises:
    InputError: a pattern names no file, a file is no capture, or two files have one
      name, by which flows and labels could not tell them apart.
  """
  paths = {}
  for pattern in patterns:
    found = sorted(glob.glob(os.path.expanduser(pattern), recursive=True))
    if not found:
      raise InputError(f"{pattern}: no such file")
    for path in map(pathlib.Path, found):
      if paths.setdefault(path.name, path) != path:
        raise InputError(
          f"{path} and {paths[path.name]} have the same name; rename one of them"
        )
      check(path)
  return list(paths.values())


def check(path: str | os.PathLike) -> None:
  """Returns if a file is there and begins as a capture does.

  Raises:
    InputError: as `read_flows` would.
  """
  with _open(path) as file:
    next(read_packets(file, str(path), Accounts(), chunk_bytes=1 << 12), None)


def _open(path: str | os.PathLike) -> BinaryIO:
  try:
    return open(path, "rb")
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}; give a capture file") from error
