"""Flows from other meters: NFStream's SPLT columns, and the PPI of ipfixprobe.

    flows = splt.of_nfstream(splt.read_csv("flows.csv"), "application_name")
    flows = splt.of_ipfixprobe(splt.read_csv("flows.csv"))
    flows = splt.of_ppi(dataframe, "APP")  # CESNET DataZoo

`docs/meters.md` describes these tables and their sources, and how the meters' rules
differ from those of `captures`.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from mtl_traffic.errors import InputError, first_line
from mtl_traffic.flows import UNKNOWN, Flows, is_missing_name, pad_packets, validate

# A dict of columns, a pandas data frame, or the result of `read_csv`.
Table = Mapping[str, Sequence]

SPLT = ("splt_direction", "splt_ps", "splt_piat_ms")
_SPLT_TOTALS = (
  "bidirectional_packets",
  "bidirectional_bytes",
  "bidirectional_duration_ms",
)
PPI = "PPI"
_PPI_TOTALS = ("PACKETS", "PACKETS_REV", "BYTES", "BYTES_REV")
PSTATS = ("PPI_PKT_DIRECTIONS", "PPI_PKT_LENGTHS", "PPI_PKT_TIMES")
_BEGAN, _ENDED = "TIME_FIRST", "TIME_LAST"
_TYPED = re.compile(r"\w+\*? (\w+)")  # As in "time* PPI_PKT_TIMES".
_MS, _US = 1e-3, 1e-6  # s
_MOST = 2**31 - 1  # Largest length in bytes, and largest gap in ms.


def read_csv(path: str | os.PathLike) -> dict[str, list]:
  """Reads the columns of a CSV file.

  Raises:
    InputError: the file cannot be read.
  """
  try:
    table = csv.read_csv(path)
  except (OSError, pa.ArrowInvalid) as error:
    raise InputError(f"{path}: cannot be read ({first_line(error)})") from None
  return {name: table[name].to_pylist() for name in table.column_names}


def of_nfstream(
  table: Table, class_column: str | None = None, source: str = "NFStream"
) -> Flows:
  """Converts flows of NFStream.

  Set NFStream's `splt_analysis` to the number of packets that the model reads. Its
  `accounting_mode` decides what lengths are: 1 = of IP packets, 3 = of payload.

  Args:
    table: the columns; those of SPLT as lists, or as the text of lists.
    class_column: the column of the class, for example "application_name"; if not given,
      classes are unknown.
    source: the name of the table in errors, and the partition of the flows.

  Raises:
    InputError: a value is invalid; names the source, the column and the row.
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


def of_ipfixprobe(
  table: Table, class_column: str | None = None, source: str = "ipfixprobe"
) -> Flows:
  """Converts flows of ipfixprobe with its plug-in pstats, in the form of UniRec.

  NEMEA's logger writes them as CSV: lists as `[1|-1|1]`, times as
  `2021-03-03T15:57:34.458000`, and names as `time* PPI_PKT_TIMES`.

  Args:
    table: the columns, with or without types in their names; those of PPI as the text
      of lists, or as lists or arrays, of times as text or datetimes.
    class_column: the column of the class, without its type; if not given, classes are
      unknown.
    source: the name of the table in errors, and the partition of the flows.

  Raises:
    InputError: a value is invalid; names the source, the column and the row.
  """
  table = {_untyped(name): table[name] for name in table}
  directions, lengths = (_lists(table, name, source) for name in PSTATS[:2])
  times = _each(_column(table, PSTATS[2], source), _times, PSTATS[2], source, "times")
  _check_sizes((directions, lengths, times), PSTATS, source)
  sizes = np.array([len(one) for one in directions], np.int64)
  signs = np.concatenate([*directions, []])
  is_one = np.isin(signs, (1, -1))
  of_packets = np.repeat(np.arange(len(sizes)), sizes)
  _check(is_one, of_packets, PSTATS[0], "must be 1 or -1", source)
  began, ended = (
    _each(_column(table, name, source), _time, name, source, "a time")
    for name in (_BEGAN, _ENDED)
  )
  there, back, bytes_there, bytes_back = (
    _numbers(table, name, source) for name in _PPI_TOTALS
  )
  seconds = (np.array(ended, np.int64) - np.array(began, np.int64)) * _US
  is_in_order = seconds >= 0
  _check(is_in_order, np.arange(len(sizes)), _ENDED, f"is before {_BEGAN}", source)
  gaps = [np.diff(one, prepend=one[:1]) for one in times]
  return _flows(
    signs,
    np.concatenate([*lengths, []]),
    np.concatenate([*gaps, []]),
    sizes,
    names=PSTATS,
    totals=(there + back, bytes_there + bytes_back, seconds),
    classes=_classes(table, class_column, len(sizes), source),
    ids=_ids(table, ("ID", "FLOW_ID"), len(sizes)),
    source=source,
    tick=_US,
  )


def of_ppi(table: Table, class_column: str | None = None, source: str = "PPI") -> Flows:
  """Converts flows in the form of CESNET DataZoo and its datasets.

  `PPI` holds, for each flow, `[gaps in ms, directions, lengths]` of its first packets
  with payload, at most 30. Further rows of it are ignored.

  Args:
    table: the columns; `PPI` as lists or arrays, or as their text.
    class_column: the column of the class, for example "APP"; if not given, classes are
      unknown.
    source: the name of the table in errors, and the partition of the flows.

  Raises:
    InputError: a value is invalid; names the source, the column and the row.
  """
  rows = _lists(table, PPI, source, least=3)
  parts = [[one[i] for one in rows] for i in range(3)]
  sizes = np.array([len(one) for one in parts[0]], np.int64)
  gaps, directions, lengths = (np.concatenate([*one, []]) for one in parts)
  of_packets = np.repeat(np.arange(len(sizes)), sizes)
  is_one = np.isin(directions, (1, -1, 0))
  _check(is_one, of_packets, PPI, "must have directions 1, -1 or 0", source)
  there, back, bytes_there, bytes_back, seconds = (
    _numbers(table, name, source) for name in (*_PPI_TOTALS, "DURATION")
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
  tick: float = _MS,
) -> Flows:
  """Makes flows from concatenated series, which may contain padding.

  Args:
    directions: `[sum(sizes)]` +1, −1, or 0 for padding.
    lengths: `[sum(sizes)]` bytes.
    gaps: `[sum(sizes)]` ticks since the previous packet, whole numbers.
    sizes: `[N]`, length of each flow's series, padding included.
    names: the columns of these three.
    totals: `[N]` packets, bytes and seconds of whole flows.
    classes: the class of each flow, and the class names.
    ids: the ids of the flows.
    source: the name of the table.
    tick: the unit of gaps, s.
  """
  rows = np.repeat(np.arange(len(sizes)), sizes)
  is_there = directions != 0
  counts = np.bincount(rows[is_there], minlength=len(sizes))
  place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
  is_padded = is_there == (place < np.repeat(counts, sizes))
  _check(is_padded, rows, names[0], "has a packet after padding", source)
  kept = rows[is_there]
  lengths, gaps = lengths[is_there], np.where(place == 0, 0, gaps)[is_there]
  is_length = (lengths >= 0) & (lengths <= _MOST)  # False for NaN.
  _check(is_length, kept, names[1], "has an impossible length", source)
  # Negative for late packets, which meters do not sort.
  is_gap = np.abs(gaps) <= _MOST * (_MS / tick)
  _check(is_gap, kept, names[2], "has an impossible time", source)
  # Sums integers: rounding would make a flow's times depend on the flows before it.
  times = np.cumsum(gaps)
  begins = np.cumsum(counts) - counts
  times = times - np.repeat(times[np.minimum(begins, max(len(times) - 1, 0))], counts)
  packets, _ = pad_packets(times * tick, lengths, directions[is_there], counts)
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
      f"{source}: has no column {name}; docs/meters.md lists the columns that it needs"
    ) from None


def _lists(
  table: Table, name: str, source: str, least: int | None = None
) -> list[np.ndarray]:
  """A column of lists of numbers; with `least`, a cell holds that many such lists."""

  def parse(cell) -> np.ndarray:
    cell = json.loads(cell.replace("|", ",")) if isinstance(cell, str) else cell
    if least is None:
      values = np.asarray(cell, np.float64)
    else:
      values = np.asarray([cell[i] for i in range(least)], np.float64)
    if values.ndim != (1 if least is None else 2):
      raise ValueError
    return values

  return _each(_column(table, name, source), parse, name, source)


def _untyped(name: str) -> str:
  """The name of a column of UniRec without its type."""
  typed = _TYPED.fullmatch(name)
  return typed[1] if typed else name


def _times(cell) -> np.ndarray:
  """The µs since 1970 of a list of times, int64."""
  if isinstance(cell, str):
    if not (cell.startswith("[") and cell.endswith("]")):
      raise ValueError
    cell = cell[1:-1].split("|") if cell != "[]" else []
  cells = np.asarray(cell)
  if cells.ndim != 1 or (len(cells) and cells.dtype.kind not in "UOM"):
    raise ValueError  # Numbers do not say what they count.
  times = cells.astype("datetime64[us]")
  if np.isnat(times).any():
    raise ValueError
  return times.astype(np.int64)


def _time(cell) -> int:
  """The µs since 1970 of a time."""
  return int(_times([cell])[0])


def _each(
  cells: Sequence,
  parse: Callable,
  name: str,
  source: str,
  kind: str = "lists of numbers",
) -> list:
  """Parses each cell of a column.

  Raises:
    InputError: a cell cannot be parsed; says that it must be of this kind.
  """
  parsed = []
  for row, cell in enumerate(cells, 1):
    try:
      parsed.append(parse(cell))
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
      shown = str(cell)
      shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
      raise InputError(
        f"{source}: row {row}: {name} is {shown}, must be {kind}"
      ) from None
  return parsed


def _check_sizes(
  series: Sequence[Sequence[np.ndarray]], names: Sequence[str], source: str
) -> None:
  for row, of_row in enumerate(zip(*series, strict=True), 1):
    if len({len(one) for one in of_row}) != 1:
      raise InputError(f"{source}: row {row}: {', '.join(names)} differ in length")


def _check(
  is_right: np.ndarray, rows: np.ndarray, name: str, rule: str, source: str
) -> None:
  if not is_right.all():
    row = int(rows[np.argmin(is_right)]) + 1
    raise InputError(f"{source}: row {row}: {name} {rule}")


def _numbers(table: Table, name: str, source: str) -> np.ndarray:
  """A column of numbers of at least 0."""
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
  """The class of each flow, and the class names in alphabetical order."""
  if name is None:
    return np.full(num_flows, UNKNOWN, np.int32), ()
  texts = ["" if cell is None else str(cell) for cell in _column(table, name, source)]
  names = sorted({text for text in texts if not is_missing_name(text)})
  index = {text: i for i, text in enumerate(names)}
  return np.array([index.get(text, UNKNOWN) for text in texts], np.int32), tuple(names)


def _ids(table: Table, names: Sequence[str], num_flows: int) -> np.ndarray:
  """The ids of the flows, from the first existing column, or else row numbers."""
  name = next((name for name in names if name in table), None)
  cells = range(1, num_flows + 1) if name is None else table[name]
  return np.array([str(cell) for cell in cells], str)
