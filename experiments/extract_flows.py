"""Turns captures into a Parquet file of flows, ready for `--dataset=flows.parquet`.

    python -m experiments.extract_flows --captures='DIR/*.pcap' --labels=labels.csv \
      --out=flows.parquet

Captures are pcap or pcapng, plain or gzip. The labels are a CSV file with the columns
`capture,label`, or `source,source_port,destination,destination_port,protocol,label`;
without, the flows have no class. Each capture is a partition.
"""

import functools
import multiprocessing
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tqdm
from absl import flags, logging

from experiments import capture_flags, cli
from mtl_traffic.data import captures, parquet
from mtl_traffic.data.captures.captured_flows import (
  END_REASON_NAMES,
  PROTOCOL_NAMES,
  CapturedFlows,
)
from mtl_traffic.data.captures.labels import Labels, read_labels
from mtl_traffic.errors import InputError

_RULES = captures.DEFAULT_RULES
_ROWS_AT_ONCE = 4096  # Bounds what is in memory when files are joined.
_LABELS = flags.DEFINE_string("labels", None, "A CSV file of labels; none by default.")
_OUT = flags.DEFINE_string("out", "flows.parquet", "The Parquet file to write.")
_PROCESSES = flags.DEFINE_integer(
  "processes", os.cpu_count(), "Captures that are read at a time.", lower_bound=1
)
_PAYLOAD_LENGTHS = flags.DEFINE_bool(
  "payload_lengths", False, "Count bytes of payload rather than of IP packets."
)
_MAX_PACKETS = flags.DEFINE_integer(
  "max_packets", _RULES.max_packets, "Packets kept of each flow; totals are of all."
)


def main(argv: Sequence[str]) -> None:
  del argv
  rules = capture_flags.rules(_MAX_PACKETS.value)
  paths = capture_flags.find_captures(capture_flags.CAPTURES.value or [])
  labels = read_labels(_LABELS.value) if _LABELS.value else Labels()
  for name in sorted(set(labels.of_captures) - {path.name for path in paths}):
    logging.warning("%s: labels %s, which is not read", _LABELS.value, name)
  accounts = extract(
    paths,
    pathlib.Path(_OUT.value),
    labels,
    rules,
    _PAYLOAD_LENGTHS.value,
    _PROCESSES.value,
  )
  for warning in accounts.warnings:
    logging.warning("%s", warning)
  print(capture_flags.summary(accounts))
  print(f"wrote {_OUT.value}")


def extract(
  paths: Sequence[pathlib.Path],
  out: pathlib.Path,
  labels: Labels,
  rules: captures.Rules = _RULES,
  payload_lengths: bool = False,
  processes: int = 1,
) -> captures.Accounts:
  """Writes the flows of captures to a Parquet file; it appears when it is whole.

  Each capture becomes a file of its own first, so memory is bounded and the order of
  flows does not depend on the number of processes.
  """
  work = functools.partial(
    _extract_one, labels=labels, rules=rules, payload_lengths=payload_lengths
  )
  accounts = captures.Accounts()
  partial = out.with_name(out.name + ".partial")
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="flows-", dir=out.parent) as folder:
      parts = [pathlib.Path(folder) / f"{i}.parquet" for i in range(len(paths))]
      for one in _run(work, paths, parts, processes):
        accounts.add(one)
      if not accounts.num_flows:
        raise InputError(
          f"the captures hold no flows ({capture_flags.summary(accounts, ', ')})"
        )
      _join(parts, partial)
      partial.replace(out)
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error})") from error
  finally:
    partial.unlink(missing_ok=True)
  return accounts


def _run(work, paths, parts, processes: int) -> Iterator[captures.Accounts]:
  sizes = [path.stat().st_size for path in paths]
  with tqdm.tqdm(total=sum(sizes), unit="B", unit_scale=True) as bar:
    if min(processes, len(paths)) == 1:
      for path, part in zip(paths, parts, strict=True):
        begun = bar.n
        yield work(
          (path, part), progress=lambda n, begun=begun: bar.update(begun + n - bar.n)
        )
      return
    # JAX's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(min(processes, len(paths))) as pool:
      results = pool.imap(work, zip(paths, parts, strict=True))
      for size, accounts in zip(sizes, results, strict=True):
        bar.update(size)
        yield accounts


def _extract_one(
  path_and_part: tuple[pathlib.Path, pathlib.Path],
  labels: Labels,
  rules: captures.Rules,
  payload_lengths: bool,
  progress=lambda position: None,
) -> captures.Accounts:
  path, part = path_and_part
  accounts = captures.Accounts()
  writer = None
  try:
    for captured in captures.read_flows(
      path, accounts, rules, payload_lengths, progress
    ):
      table = to_table(captured, labels)
      writer = writer or pq.ParquetWriter(part, table.schema, compression="zstd")
      writer.write_table(table)
  finally:
    if writer:
      writer.close()
  return accounts


def to_table(captured: CapturedFlows, labels: Labels) -> pa.Table:
  """The curated columns, and beside them what only a capture tells."""
  table = parquet.to_table(labels.apply(captured))
  reasons = [END_REASON_NAMES[reason] for reason in captured.end_reasons.tolist()]
  for name, values in (
    ("client_address", pa.array(captured.client_addresses, pa.string())),
    ("client_port", captured.client_ports),
    ("server_address", pa.array(captured.server_addresses, pa.string())),
    ("server_port", captured.server_ports),
    ("protocol", [PROTOCOL_NAMES[number] for number in captured.protocols.tolist()]),
    ("end_reason", reasons),
    ("start_time", pa.array(captured.start_times, pa.timestamp("ns", "UTC"))),
  ):
    table = table.append_column(name, pa.array(values))
  return table


def _join(parts: Iterable[pathlib.Path], path: pathlib.Path) -> None:
  writer, num_rows = None, 0
  try:
    for part in filter(pathlib.Path.exists, parts):
      with pq.ParquetFile(part) as file:
        writer = writer or pq.ParquetWriter(path, file.schema_arrow, compression="zstd")
        for batch in file.iter_batches(_ROWS_AT_ONCE):
          row_ids = pa.array(np.arange(num_rows, num_rows + len(batch)))
          table = pa.table(batch).set_column(0, "row_id", row_ids)
          writer.write_table(table)
          num_rows += len(batch)
  finally:
    if writer:
      writer.close()


if __name__ == "__main__":
  flags.mark_flag_as_required("captures")
  cli.run(main, reads_dataset=False)
