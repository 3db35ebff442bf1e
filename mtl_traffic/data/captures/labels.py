"""Labels captured flows from a table."""

import contextlib
import csv
import dataclasses
import datetime
import decimal
import functools
import itertools
import os
import pathlib
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.captured_flows import CapturedFlows
from mtl_traffic.errors import InputError
from mtl_traffic.flows import UNKNOWN, Flows, is_missing_name

_MOST_ROWS = 1 << 22  # About a hundred bytes each.
_MOST_PROBLEMS = 10  # Problems in one message.
_PROTOCOLS = {"tcp": 6, "udp": 17}
_ENDPOINTS = ("source", "source_port", "destination", "destination_port", "protocol")
_ADDRESS = "address"  # An address of either side; stored as the source.
_TIMES = ("start", "end")
_COLUMNS = ("capture", _ADDRESS, *_ENDPOINTS, *_TIMES)
_SWAPPED = {
  "source": "destination",
  "source_port": "destination_port",
  "destination": "source",
  "destination_port": "source_port",
}
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1  # ns since 1970


@dataclasses.dataclass(frozen=True)
class _Alike:
  """R rows that fill in the same columns, sorted by cells, then by time.

  Attributes:
    columns: the columns, without the times.
    rank: rows of a higher rank have priority.
    keys: `[R]` bytes, the cells of the columns and the start.
    ends: `[R]` int64, ns since 1970.
    labels: `[R]` int32.
    lines: `[R]` int64, line numbers in the file.
  """

  columns: tuple[str, ...]
  rank: int
  keys: np.ndarray
  ends: np.ndarray
  labels: np.ndarray
  lines: np.ndarray

  def of(self, cells: dict[str, np.ndarray], times: np.ndarray) -> np.ndarray:
    """The row that matches each flow, `[N]`; −1 where none does."""
    parts = [cells[name] for name in self.columns]
    width = sum(part.shape[1] for part in parts)
    wanted = np.ascontiguousarray(np.concatenate([*parts, _time_bytes(times)], axis=1))
    wanted = wanted.view(self.keys.dtype)[:, 0]
    # The last row with these cells that has begun.
    found = np.searchsorted(self.keys, wanted, side="right") - 1
    fits = (found >= 0) & (times < self.ends[found])
    if width:
      cells_alone = f"S{width}"
      fits &= self.keys[found].astype(cells_alone) == wanted.astype(cells_alone)
    return np.where(fits, found, -1)

  def name_one_of(self, captures: Collection[int]) -> np.ndarray:
    """`[R]` bool, the rows that name one of these captures, given by their indices."""
    if "capture" not in self.columns:  # If it is, it is the first column.
      return np.zeros(len(self.keys), bool)
    cells = self.keys.view(np.uint8).reshape(len(self.keys), -1)
    named = np.ascontiguousarray(cells[:, :4]).view(">i4")[:, 0]
    return np.isin(named, list(captures))


@dataclasses.dataclass(frozen=True)
class Labels:
  """The table of labels, made by `read_labels`.

  Attributes:
    class_names: the classes, in alphabetical order.
    captures: the captures that rows name.
    rows: the rows, grouped by the columns that they fill in.
    num_without: how many rows have no label.
  """

  class_names: tuple[str, ...] = ()
  captures: tuple[str, ...] = ()
  rows: tuple[_Alike, ...] = ()
  num_without: int = 0

  def apply(self, captured: CapturedFlows, accounts: Accounts | None = None) -> Flows:
    """Returns the flows with their classes; −1 for flows without a label.

    Args:
      captured: the flows.
      accounts: counts the flows per label, the rows that matched, and the rows that
        contradicted each other.
    """
    accounts = Accounts() if accounts is None else accounts
    num_flows = len(captured)
    classes = np.full(num_flows, UNKNOWN, np.int32)
    ranks, lines, others = (np.full(num_flows, -1, np.int64) for _ in range(3))
    for alike, cells in self._ways(captured):
      rows = alike.of(cells, captured.start_times)
      fits = rows >= 0
      for line, n in _counted(alike.lines[rows[fits]]):
        accounts.label_lines[line] += n
      better = fits & (alike.rank > ranks)
      differs = fits & (alike.rank == ranks) & (alike.labels[rows] != classes)
      others[better] = -1
      others[differs] = alike.lines[rows[differs]]
      ranks[better], lines[better] = alike.rank, alike.lines[rows[better]]
      classes[better] = alike.labels[rows[better]]
    contradicted = others >= 0
    classes[contradicted] = UNKNOWN
    pairs = np.sort(np.stack([lines, others], axis=1)[contradicted], axis=1)
    accounts.contradictions.update(map(tuple, pairs.tolist()))
    for code, n in _counted(classes[classes >= 0]):
      accounts.labelled[self.class_names[code]] += n
    return captured.flows.replace(classes=classes, class_names=self.class_names)

  def unmatched(
    self, accounts: Accounts, captures: Collection[str] | None = None
  ) -> list[int]:
    """The lines of the file that matched no flow.

    Args:
      accounts: counts the lines that matched.
      captures: the captures that were read; lines for others are left out. None = all.
    """
    looked_at = self.captures if captures is None else captures
    others = [i for i, name in enumerate(self.captures) if name not in looked_at]
    lines = itertools.chain.from_iterable(
      alike.lines[~alike.name_one_of(others)].tolist() for alike in self.rows
    )
    return sorted(line for line in lines if not accounts.label_lines[line])

  def _ways(
    self, captured: CapturedFlows
  ) -> Iterator[tuple[_Alike, dict[str, np.ndarray]]]:
    """Yields rows, and the flows' cells to compare them with, in both directions."""
    if not self.rows:
      return
    indices = {name: i for i, name in enumerate(self.captures)}
    names = [indices.get(name, -1) for name in captured.flows.partition_names]
    cells = {
      "capture": _bytes(np.array(names)[captured.flows.partitions], ">i4"),
      "source": _address_bytes(captured.client_addresses),
      "source_port": _bytes(captured.client_ports, ">u2"),
      "destination": _address_bytes(captured.server_addresses),
      "destination_port": _bytes(captured.server_ports, ">u2"),
      "protocol": _bytes(captured.protocols, "u1"),
    }
    swapped = {name: cells[_SWAPPED.get(name, name)] for name in cells}
    for alike in self.rows:
      yield alike, cells
      if set(alike.columns) & set(_SWAPPED):
        yield alike, swapped


def read_labels(path: str | os.PathLike) -> Labels:
  """Reads labels from a CSV file with a header.

  A row has a `label`; its other cells say which flows get it. A row matches a flow if
  all its cells do, and an empty cell matches every flow:

  - `capture`: the name of the file in which the flow begins.
  - `address`: the address of either side.
  - `source`, `source_port`, `destination`, `destination_port`, `protocol` (TCP or UDP):
    match in either direction.
  - `start`, `end`: the flow begins at `start` or later and before `end`. Seconds since
    1970, or ISO 8601 with a time zone.

  IPv4 addresses equal their IPv6-mapped form, and zones are ignored. If several rows
  match, the row counts that fills in most columns of addresses, ports and protocol.
  Among equals, a row with a capture counts, then one with a time. If rows of the same
  rank contradict each other, the flow gets no label. A row whose label is empty or NaN
  is ignored.

  Raises:
    InputError: a line is invalid; names the file, each such line and its problem.
  """
  path = pathlib.Path(path)
  table = _Table()
  try:
    with path.open(newline="", encoding="utf-8-sig") as file:
      rows = csv.DictReader(file)
      _check_header(path, rows.fieldnames or [])
      for row in rows:
        table.add(row, rows.line_num)
        if table.num_rows > _MOST_ROWS:
          raise InputError(
            f"{path}: has over {_MOST_ROWS} rows; leave out rows for other captures"
          )
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}; give a CSV file of labels") from error
  except (csv.Error, UnicodeDecodeError) as error:
    raise InputError(f"{path}: not a CSV file ({error})") from error
  labels = table.labels()
  if table.problems:
    told = [f"line {line}: {what}" for line, what in sorted(table.problems)]
    more = len(told) - _MOST_PROBLEMS
    told = told[:_MOST_PROBLEMS] + [f"and {more} more such lines"] * (more > 0)
    raise InputError(f"{path}: {'; '.join(told)}")
  if not labels.class_names:
    raise InputError(f"{path}: holds no labels")
  return labels


def _check_header(path: pathlib.Path, names: Sequence[str]) -> None:
  twice = sorted({n for n in ("label", *_COLUMNS) if list(names).count(n) > 1})
  if twice:
    raise InputError(f"{path}: line 1: has the column {twice[0]} twice")
  if "label" not in names or not set(_COLUMNS) & set(names):
    raise InputError(
      f"{path}: line 1: the columns are {','.join(names)}; they must be label, and "
      f"some of {', '.join(_COLUMNS)}"
    )


class _Table:
  """Rows as they are read, packed, and grouped by the columns that they fill in."""

  def __init__(self):
    self.num_rows = self.num_without = 0
    self.problems: list[tuple[int, str]] = []
    self._captures: dict[str, int] = {}
    self._names: dict[str, int] = {}
    self._keys: dict[tuple[tuple[str, ...], bool], bytearray] = {}
    # End, label and line of each row, one after another.
    self._rest: dict[tuple[tuple[str, ...], bool], list[np.ndarray]] = {}
    self._pending: dict[tuple[tuple[str, ...], bool], list[tuple]] = {}

  def add(self, row: dict, line: int) -> None:
    self.num_rows += 1
    try:
      self._add(row, line)
    except InputError as error:
      self.problems.append((line, str(error)))

  def _add(self, row: dict, line: int) -> None:
    if None in row:
      raise InputError("has more cells than line 1")
    values = {name: (row.get(name) or "").strip() for name in ("label", *_COLUMNS)}
    values = {n: text for n, text in values.items() if not is_missing_name(text)}
    label = values.pop("label", None)
    if not values:
      raise InputError(
        f"does not select any flows; fill in one of {', '.join(_COLUMNS)}"
      )
    if _ADDRESS in values:
      if not set(values).isdisjoint(("source", "destination")):
        raise InputError("has address and source or destination; give one of these")
      if not set(values).isdisjoint(("source_port", "destination_port")):
        raise InputError("has address and a port; give source and source_port")
    start = _time(values, "start", _EARLIEST)
    end = _time(values, "end", _LATEST)
    if end <= start:
      raise InputError(f"end {values['end']} must be after start {values['start']}")
    columns = tuple(n for n in _COLUMNS if n in values and n not in _TIMES)
    key = b"".join(self._packed(name, values[name]) for name in columns)
    columns = tuple("source" if name == _ADDRESS else name for name in columns)
    if label is None:
      self.num_without += 1
      return
    alike = columns, not set(values).isdisjoint(_TIMES)
    self._keys.setdefault(alike, bytearray()).extend(key + _packed_time(start))
    pending = self._pending.setdefault(alike, [])
    pending.append((end, self._names.setdefault(label, len(self._names)), line))
    if len(pending) == 1 << 12:
      self._pack(alike)

  def _packed(self, name: str, text: str) -> bytes:
    """A cell as bytes; a column's cells have equal lengths."""
    if name == "capture":
      index = self._captures.setdefault(text, len(self._captures))
      return index.to_bytes(4, "big")
    if name in (_ADDRESS, "source", "destination"):
      with contextlib.suppress(ValueError):
        return _packed_address(text)
      what = "an IP address"
    elif name == "protocol":
      number = _PROTOCOLS.get(text.lower()) or _whole(text)
      if number in _PROTOCOLS.values():
        return bytes([number])
      what = "TCP or UDP"
    else:
      port = _whole(text)
      if port is not None and 0 <= port < 1 << 16:
        return port.to_bytes(2, "big")
      what = "a number up to 65535"
    raise InputError(f"{name} is {text!r}, must be {what}")

  def _pack(self, alike: tuple[tuple[str, ...], bool]) -> None:
    pending = self._pending.pop(alike, [])
    packed = np.array(pending, np.int64).reshape(-1, 3)
    self._rest.setdefault(alike, []).append(packed)

  def labels(self) -> Labels:
    names = sorted(self._names)
    order = {name: i for i, name in enumerate(names)}
    codes = np.array([order[name] for name in self._names], np.int32)
    rows = []
    for alike in list(self._keys):
      self._pack(alike)
      ends, label, lines = np.concatenate(self._rest.pop(alike)).T
      keys = np.frombuffer(self._keys.pop(alike), f"S{_width(alike[0]) + 8}")
      rows.append(self._sorted(alike, keys, ends, codes[label], lines, names))
    return Labels(tuple(names), tuple(self._captures), tuple(rows), self.num_without)

  def _sorted(self, alike, keys, ends, labels, lines, names) -> _Alike:
    """Sorts rows, and joins equal rows whose times overlap.

    Rows that contradict each other become problems.
    """
    columns, has_time = alike
    order = np.argsort(keys, kind="stable")
    keys, ends, labels, lines = (a[order] for a in (keys, ends, labels, lines))
    width = _width(columns)
    cells = keys.view(np.uint8).reshape(len(keys), -1)
    same = (cells[1:, :width] == cells[:-1, :width]).all(axis=1)
    starts = cells[:, width:].copy().view(">u8")[:, 0]
    offset = np.uint64(1 << 63)
    starts = (starts.astype(np.uint64) ^ offset).view(np.int64)
    kept = np.ones(len(keys), bool)
    ends = ends.copy()
    last = 0
    for row in range(1, len(keys)):
      if not same[row - 1] or starts[row] >= ends[last]:
        last = row
      elif labels[row] == labels[last]:
        ends[last] = max(ends[last], ends[row])
        kept[row] = False
      else:
        (other, before), (line, label) = sorted(
          (int(lines[i]), names[labels[i]]) for i in (row, last)
        )
        self.problems.append(
          (line, f"labelled {label!r}, but {before!r} on line {other}")
        )
    num_endpoints = len(set(columns) - {"capture"})
    return _Alike(
      columns=columns,
      rank=4 * num_endpoints + 2 * ("capture" in columns) + has_time,
      keys=keys[kept],
      ends=ends[kept],
      labels=labels[kept],
      lines=lines[kept],
    )


def _width(columns: Iterable[str]) -> int:
  widths = {"capture": 4, "source": 16, "destination": 16, "protocol": 1}
  return sum(widths.get(name, 2) for name in columns)


def _whole(text: str) -> int | None:
  """Parses a whole number; pandas writes 80.0 in a column that has gaps."""
  with contextlib.suppress(ValueError, OverflowError):
    if float(text) == int(float(text)):
      return int(float(text))
  return None


@functools.lru_cache(1 << 14)
def _packed_address(text: str) -> bytes:
  """An address as 16 bytes, without zone; IPv4 in IPv6-mapped form.

  Raises:
    ValueError: the text is no address.
  """
  text = text.partition("%")[0]
  try:
    if ":" in text:
      return socket.inet_pton(socket.AF_INET6, text)
    return bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, text)
  except OSError:
    raise ValueError(text) from None


def _time(values: dict[str, str], name: str, default: int) -> int:
  """Parses a time to ns since 1970."""
  text = values.get(name)
  if text is None:
    return default
  with contextlib.suppress(decimal.InvalidOperation, ValueError, OverflowError):
    time = int(decimal.Decimal(text) * 10**9)
    if _EARLIEST < time < _LATEST:
      return time
  try:
    moment = datetime.datetime.fromisoformat(text)
  except ValueError:
    raise InputError(
      f"{name} is {text!r}, must be seconds since 1970, or as 2024-05-01T12:30:00Z"
    ) from None
  if moment.tzinfo is None:
    raise InputError(f"{name} is {text!r}, which has no time zone; add Z or +02:00 say")
  since = moment - datetime.datetime.fromtimestamp(0, datetime.UTC)
  return since // datetime.timedelta(microseconds=1) * 1000


def _packed_time(time: int) -> bytes:
  """A time as bytes that sort like times."""
  return (time - _EARLIEST).to_bytes(8, "big")


def _time_bytes(times: np.ndarray) -> np.ndarray:
  return _bytes(times.astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63), ">u8")


def _bytes(values: np.ndarray, kind: str) -> np.ndarray:
  """Numbers `[N]` as their bytes `[N, width]`."""
  return values.astype(kind).view(np.uint8).reshape(len(values), -1)


def _address_bytes(addresses: Sequence[str]) -> np.ndarray:
  packed = b"".join(map(_packed_address, addresses))
  return np.frombuffer(packed, np.uint8).reshape(-1, 16)


def _counted(values: np.ndarray) -> list[tuple[int, int]]:
  found, counts = np.unique(values, return_counts=True)
  return list(zip(found.tolist(), counts.tolist(), strict=True))
