"""Flows from captures: reading, decoding, ordering and assembly, a module each."""

import os
from collections.abc import Callable, Iterator, Sequence

from mtl_traffic.data.captures import sources
from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.assembly import DEFAULT_RULES, FlowAssembler, Rules
from mtl_traffic.data.captures.captured_flows import CapturedFlows, EndReason
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.data.captures.sources import check, find

__all__ = [
  "DEFAULT_RULES",
  "Accounts",
  "CapturedFlows",
  "EndReason",
  "Rules",
  "check",
  "find",
  "read_flows",
  "sources",
]


def read_flows(
  path: str | os.PathLike | Sequence[str | os.PathLike],
  accounts: Accounts,
  rules: Rules = DEFAULT_RULES,
  progress: Callable[[int], None] = lambda position: None,
) -> Iterator[CapturedFlows]:
  """Yields the flows of a capture as they end.

  Memory depends on the number of open flows, not on the size of the capture.

  Args:
    path: a pcap or pcapng file, plain or compressed; or several files, in order of time
      (`sources.chains`). Flows continue from one file to the next.
    accounts: where packets, flows and warnings are counted.
    rules: how packets are assembled into flows.
    progress: called from time to time with the number of bytes read.

  Raises:
    InputError: the file does not exist, or is not a capture.
  """
  paths = [path] if isinstance(path, str | os.PathLike) else path
  decoder = Decoder(accounts, rules.payload_lengths, rules.drop_copies, rules.inner)
  assembler = FlowAssembler(sources.name_of(paths[0]), accounts, rules)
  before = 0
  for i, each in enumerate(paths):
    if i:
      assembler.begin_file(sources.name_of(each))
    with sources.open_capture(each) as file:
      for raw in read_packets(file, sources.shown(each), accounts):
        assembler.add(decoder.decode(raw))
        yield from assembler.ended()
        progress(before + file.tell())
      before += file.tell()
  yield from assembler.finish()
