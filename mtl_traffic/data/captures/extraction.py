"""Turns captures into a Parquet file of flows."""

import functools
import multiprocessing
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tqdm

from mtl_traffic import files
from mtl_traffic.data import captures, parquet
from mtl_traffic.data.beam_workers import BeamWorkers
from mtl_traffic.data.captures.captured_flows import (
  END_REASON_NAMES,
  PROTOCOL_NAMES,
  CapturedFlows,
)
from mtl_traffic.data.captures.labels import Labels
from mtl_traffic.errors import InputError
from mtl_traffic.flows import validate

_ROWS_AT_ONCE = 4096  # Bounds the memory when files are joined.


def extract(
  paths: Sequence[pathlib.Path],
  out: pathlib.Path,
  labels: Labels,
  rules: captures.Rules = captures.DEFAULT_RULES,
  processes: int = 1,
  each_alone: bool = False,
  beam: BeamWorkers | None = None,
) -> captures.Accounts:
  """Writes the flows of captures to a Parquet file; it appears when it is complete.

  Each capture is first written to a file of its own. So memory is bounded, and the
  order of flows does not depend on the number of processes.

  Args:
    paths: the captures.
    out: the Parquet file. It stores `rules.shared`.
    labels: the flows' classes.
    rules: how packets are assembled into flows.
    processes: how many captures are read at a time.
    each_alone: whether flows end with their file, even if another follows it in time.
    beam: who reads the captures, instead of processes of this machine. They see the
      captures, and the folder of `out`, under the same paths.

  Returns:
    The counts of packets, flows and labels.

  Raises:
    InputError: a capture cannot be read, there are no flows, or `out` cannot be
      written.
  """
  if beam:  # Whose working directory may be another one.
    paths, out = [path.absolute() for path in paths], out.absolute()
  work = functools.partial(_extract_one, labels=labels, rules=rules)
  accounts = captures.Accounts()
  try:
    with files.replacing(out) as partial, files.scratch(out) as folder:
      if beam:
        spread = functools.partial(beam.map, folder)
      else:
        spread = functools.partial(_map, processes)
      if each_alone:
        chains = [[path] for path in paths]
      else:
        spans = functools.partial(spread, captures.sources.span)
        chains = captures.sources.chains(paths, spans)
      parts = [folder / f"{i}.parquet" for i in range(len(chains))]
      is_alone = not beam and min(processes, len(chains)) == 1
      tasks = list(zip(chains, parts, strict=True))
      for one in _run(work, tasks, None if is_alone else spread):
        accounts.add(captures.Accounts.from_json(one))
      if not accounts.num_flows:
        found = f"the captures hold no flows ({accounts.summary(', ')})"
        raise InputError("; ".join([found, *accounts.warnings]))
      num_rows = _join(parts, partial)
      if num_rows != accounts.num_flows:
        raise InputError(
          f"{out}: {num_rows} of {accounts.num_flows} flows arrived beside it; write "
          "to a folder that all machines share"
        )
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error})") from error
  return accounts


def _map(
  processes: int,
  work: Callable[[Any], Any],
  tasks: Sequence,
  done: Callable[[int], None] = lambda number: None,
) -> Iterator:
  """Yields the results of work, in the order of tasks.

  Args:
    processes: of this machine, how many work at a time.
    work: what to do.
    tasks: what to do it to.
    done: called with the number of each task that is done.
  """
  if min(processes, len(tasks)) == 1:
    yield from map(work, tasks)
    return
  # JAX's threads do not survive a fork.
  with multiprocessing.get_context("spawn").Pool(min(processes, len(tasks))) as pool:
    for i, result in enumerate(pool.imap(work, tasks)):
      done(i)
      yield result


def _run(work, tasks, spread) -> Iterator[dict]:
  """Yields the accounts of each task; `spread` is None if this process does all."""
  sizes = [sum(path.stat().st_size for path in chain) for chain, _ in tasks]
  with tqdm.tqdm(total=sum(sizes), unit="B", unit_scale=True) as bar:
    if spread:
      yield from spread(work, tasks, lambda i: bar.update(sizes[i]))
      return
    for task in tasks:
      begun = bar.n
      yield work(task, progress=lambda n, begun=begun: bar.update(begun + n - bar.n))


def _extract_one(
  chain_and_part: tuple[list[pathlib.Path], pathlib.Path],
  labels: Labels,
  rules: captures.Rules,
  progress=lambda position: None,
) -> dict[str, object]:
  """Writes the flows of a capture to a file; returns its accounts, as JSON."""
  chain, part = chain_and_part
  # Beam may have a task done twice, even at the same time.
  partial = part.with_name(f".{part.name}.{uuid.uuid4().hex}")
  accounts = captures.Accounts()
  writer = None
  try:
    for captured in captures.read_flows(chain, accounts, rules, progress):
      validate(captured.flows, ", ".join(captured.flows.partition_names))
      table = to_table(captured, labels, rules, accounts)
      writer = writer or pq.ParquetWriter(partial, table.schema, compression="zstd")
      writer.write_table(table)
  finally:
    if writer:
      writer.close()
  if writer:
    partial.replace(part)
  return accounts.as_json()


def to_table(
  captured: CapturedFlows,
  labels: Labels,
  rules: captures.Rules,
  accounts: captures.Accounts | None = None,
) -> pa.Table:
  """The curated columns, and further ones with what only a capture tells."""
  table = parquet.to_table(labels.apply(captured, accounts), rules=rules.shared)
  seen = captured.starts_seen
  reasons = [END_REASON_NAMES[reason] for reason in captured.end_reasons.tolist()]
  for name, values in (
    ("client_address", pa.array(captured.client_addresses, pa.string())),
    ("client_port", captured.client_ports),
    ("server_address", pa.array(captured.server_addresses, pa.string())),
    ("server_port", captured.server_ports),
    ("protocol", [PROTOCOL_NAMES[number] for number in captured.protocols.tolist()]),
    ("end_reason", reasons),
    ("start_seen", pa.array(seen == 1, pa.bool_(), mask=seen < 0)),
    ("start_time", pa.array(captured.start_times, pa.timestamp("ns", "UTC"))),
  ):
    table = table.append_column(name, pa.array(values))
  if rules.inner:
    for i, side in enumerate(("client", "server")):
      carriers = pa.array(captured.carriers[:, i], pa.string())
      table = table.append_column(f"outer_{side}_address", carriers)
  return table


def _join(parts: Iterable[pathlib.Path], path: pathlib.Path) -> int:
  """Writes the flows of all files to one; returns how many there are."""
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
  return num_rows
