"""Flows from captures: reading, decoding and assembly, a module each."""

import os
import pathlib
from collections.abc import Callable, Iterator
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
  "read_flows",
]


def read_flows(
  path: str | os.PathLike,
  accounts: Accounts,
  rules: Rules = DEFAULT_RULES,
  payload_lengths: bool = False,
  progress: Callable[[int], None] = lambda position: None,
) -> Iterator[CapturedFlows]:
  """Yields the flows of a pcap or pcapng file, plain or gzip, as they end.

  Memory depends on the number of open flows, not on the size of the capture.

  Args:
    path: the capture.
    accounts: where packets, flows and warnings are counted.
    rules: when flows end.
    payload_lengths: count the bytes of TCP and UDP payload rather than of IP packets.
    progress: is told how many bytes of the file have been read, again and again.

  Raises:
    InputError: there is no such file, or it is not a capture.
  """
  with _open(path) as file:
    decoder = Decoder(accounts, payload_lengths)
    assembler = FlowAssembler(pathlib.Path(path).name, accounts, rules)
    for raw in read_packets(file, str(path), accounts):
      assembler.add(decoder.decode(raw))
      yield from assembler.ended()
      progress(file.tell())
    yield from assembler.finish()


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
