"""Flows that other meters made: NFStream's SPLT columns, and the PPI of ipfixprobe.

    flows = splt.of_nfstream(splt.read_csv("flows.csv"), "application_name")
    flows = splt.of_ppi(dataframe, "APP")  # CESNET DataZoo

What these tables are, and where the meters differ from `captures` by rule, stands in
`docs/meters.md`.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from mtl_traffic.errors import InputError, first_line
from mtl_traffic.flows import UNKNOWN, Flows, is_missing_name, pad_packets, validate

# A dict of columns, a data frame of pandas, or a table that `read_csv` gives.
Table = Mapping[str, Sequence]

SPLT = ("splt_direction", "splt_ps", "splt_piat_ms")
_SPLT_TOTALS = (
  "bidirectional_packets",
  "bidirectional_bytes",
  "bidirectional_duration_ms",
)
PPI = "PPI"
_PPI_TOTALS = ("PACKETS", "PACKETS_REV", "BYTES", "BYTES_REV", "DURATION")
_MS = 1e-3  # s
_MOST = 2**31 - 1  # Of a length in bytes, and of a gap in ms.


def read_csv(path: str | os.PathLike) -> dict[str, list]:
  """The columns of a CSV file.

  Raises:
    InputError: it cannot be read.
  """
  try:
    table = csv.read_csv(path)
  except (OSError, pa.ArrowInvalid) as error:
    raise InputError(f"{path}: cannot be read ({first_line(error)})") from None
  return {name: table[name].to_pylist() for name in table.column_names}


def of_nfstream(
  table: Table, class_column: str | None = None, source: str = "NFStream"
) -> Flows:
  """Flows of NFStream, with `splt_analysis` of as many packets as a model reads.

  Lengths and bytes are what `accounting_mode` says: 1 = of IP packets, 3 = of payload.

  Args:
    table: its columns; those of SPLT as lists, or as the text of lists.
    class_column: what gives the class of a flow, "application_name" say; without, it is
      unknown.
    source: what to call the table in errors, and the partition of the flows.

  Raises:
    InputError: naming the source, a column and a row that cannot be.
  """
  series = [_lists(table, name, source) for name in SPLT]
  _check_sizes(series, SPLT, source)
  sizes = np.array([len(one) for one in series[0]], np.int64)
  directions, lengths, gaps = (np.concatenate([*one, []]) for one in series)
  rows = np.repeat(np.arange(len(sizes)), sizes)
  _check(np.isin(directions, (0, 1, -1)), rows, SPLT[0], "must be 0, 1 or -1", source)
  packets, num_bytes, milliseconds = (
    _numbers(table, name, source) for name in _SPLT_TOTALS
  )
  return _flows(
    np.select([directions == 0, directions == 1], [1, -1]),
    lengths,
    gaps,
    sizes,
    names=SPLT,
    totals=(packets, num_bytes, milliseconds * _MS),
    classes=_classes(table, class_column, len(sizes), source),
    ids=_ids(table, ("id",), len(sizes)),
    source=source,
  )


def of_ppi(table: Table, class_column: str | None = None, source: str = "PPI") -> Flows:
  """Flows of ipfixprobe, as CESNET DataZoo and its datasets have them.

  `PPI` is, for each flow, `[gaps in ms, directions, lengths]` of its first packets that
  carry payload, 30 at most; what else it has is passed over.

  Args:
    table: its columns; `PPI` as lists or arrays, or as their text.
    class_column: what gives the class of a flow, "APP" say; without, it is unknown.
    source: what to call the table in errors, and the partition of the flows.

  Raises:
    InputError: naming the source, a column and a row that cannot be.
  """
  rows = _lists(table, PPI, source, least=3)
  parts = [[one[i] for one in rows] for i in range(3)]
  sizes = np.array([len(one) for one in parts[0]], np.int64)
  gaps, directions, lengths = (np.concatenate([*one, []]) for one in parts)
  of_packets = np.repeat(np.arange(len(sizes)), sizes)
  is_one = np.isin(directions, (1, -1, 0))
  _check(is_one, of_packets, PPI, "must have directions 1, -1 or 0", source)
  there, back, bytes_there, bytes_back, seconds = (
    _numbers(table, name, source) for name in _PPI_TOTALS
  )
  return _flows(
    directions,
    lengths,
    gaps,
    sizes,
    names=(PPI, PPI, PPI),
    totals=(there + back, bytes_there + bytes_back, seconds),
    classes=_classes(table, class_column, len(sizes), source),
    ids=_ids(table, ("ID", "FLOW_ID"), len(sizes)),
    source=source,
  )


def _flows(
  directions: np.ndarray,
  lengths: np.ndarray,
  gaps: np.ndarray,
  sizes: np.ndarray,
  *,
  names: tuple[str, str, str],
  totals: tuple[np.ndarray, np.ndarray, np.ndarray],
  classes: tuple[np.ndarray, tuple[str, ...]],
  ids: np.ndarray,
  source: str,
) -> Flows:
  """Flows of series that stand one after another, padding with them.

  Args:
    directions: `[sum(sizes)]` +1, −1, or 0 for padding.
    lengths: the same, bytes.
    gaps: the same, ms since the packet before.
    sizes: `[N]`, how many places each flow has.
    names: the columns of these three.
    totals: `[N]` packets, bytes and seconds of whole flows.
    classes: their classes and the names of these.
    ids: what the flows are called.
    source: what to call the table.
  """
  rows = np.repeat(np.arange(len(sizes)), sizes)
  is_there = directions != 0
  counts = np.bincount(rows[is_there], minlength=len(sizes))
  place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
  is_padded = is_there == (place < np.repeat(counts, sizes))
  _check(is_padded, rows, names[0], "has a packet behind padding", source)
  kept = rows[is_there]
  lengths, gaps = lengths[is_there], np.where(place == 0, 0, gaps)[is_there]
  is_length = (lengths >= 0) & (lengths <= _MOST)  # Which NaN is not.
  _check(is_length, kept, names[1], "has a length that cannot be", source)
  is_gap = np.abs(gaps) <= _MOST  # Meters take packets as they come, late ones too.
  _check(is_gap, kept, names[2], "has a time that cannot be", source)
  # Sums of whole numbers, so that those of a flow do not depend on the ones before.
  times = np.cumsum(gaps)
  begins = np.cumsum(counts) - counts
  times = times - np.repeat(times[np.minimum(begins, max(len(times) - 1, 0))], counts)
  packets, _ = pad_packets(times * _MS, lengths, directions[is_there], counts)
  num_packets, num_bytes, seconds = totals
  flows = Flows(
    packets=packets,
    num_packets=num_packets.astype(np.int64),
    durations=seconds.astype(np.float64),
    num_bytes=num_bytes.astype(np.int64),
    classes=classes[0],
    partitions=np.zeros(len(sizes), np.int32),
    ids=ids,
    class_names=classes[1],
    partition_names=(source,),
  )
  return validate(flows, source)


def _column(table: Table, name: str, source: str) -> Sequence:
  try:
    return list(table[name])
  except KeyError:
    raise InputError(
      f"{source}: has no column {name}; see docs/meters.md for what it takes"
    ) from None


def _lists(
  table: Table, name: str, source: str, least: int | None = None
) -> list[np.ndarray]:
  """A column of lists of numbers; or, with `least`, of that many such lists."""

  def parse(cell) -> np.ndarray:
    cell = json.loads(cell) if isinstance(cell, str) else cell
    if least is None:
      values = np.asarray(cell, np.float64)
    else:
      values = np.asarray([cell[i] for i in range(least)], np.float64)
    if values.ndim != (1 if least is None else 2):
      raise ValueError
    return values

  return _each(_column(table, name, source), parse, name, source)


def _each(cells: Sequence, parse: Callable, name: str, source: str) -> list:
  parsed = []
  for row, cell in enumerate(cells, 1):
    try:
      parsed.append(parse(cell))
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
      shown = str(cell)
      shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
      raise InputError(
        f"{source}: row {row}: {name} is {shown}, must be lists of numbers"
      ) from None
  return parsed


def _check_sizes(
  series: Sequence[Sequence[np.ndarray]], names: Sequence[str], source: str
) -> None:
  for row, of_row in enumerate(zip(*series, strict=True), 1):
    if len({len(one) for one in of_row}) != 1:
      raise InputError(f"{source}: row {row}: {', '.join(names)} are not equally long")


def _check(
  is_right: np.ndarray, rows: np.ndarray, name: str, rule: str, source: str
) -> None:
  if not is_right.all():
    row = int(rows[np.argmin(is_right)]) + 1
    raise InputError(f"{source}: row {row}: {name} {rule}")


def _numbers(table: Table, name: str, source: str) -> np.ndarray:
  """A column of numbers from 0 on."""
  try:
    values = np.asarray(_column(table, name, source), np.float64)
  except (ValueError, TypeError) as error:
    if isinstance(error, InputError):
      raise
    raise InputError(f"{source}: {name} must be numbers") from None
  is_right = (values >= 0) & (values < 2**53)
  _check(is_right, np.arange(len(values)), name, "must be a number from 0 on", source)
  return values


def _classes(
  table: Table, name: str | None, num_flows: int, source: str
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The class of each flow, and what classes are called, in order of their names."""
  if name is None:
    return np.full(num_flows, UNKNOWN, np.int32), ()
  texts = ["" if cell is None else str(cell) for cell in _column(table, name, source)]
  names = sorted({text for text in texts if not is_missing_name(text)})
  index = {text: i for i, text in enumerate(names)}
  return np.array([index.get(text, UNKNOWN) for text in texts], np.int32), tuple(names)


def _ids(table: Table, names: Sequence[str], num_flows: int) -> np.ndarray:
  """What flows are called: by one of these columns, or by their rows."""
  name = next((name for name in names if name in table), None)
  cells = range(1, num_flows + 1) if name is None else table[name]
  return np.array([str(cell) for cell in cells], str)
