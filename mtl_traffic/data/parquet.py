"""Flows in a Parquet file, in the column layout of the curated UC Davis file.

A row is a flow: `row_id, app, flow_id, partition, num_pkts, duration, bytes` and the
series `timetofirst` (s), `pkts_size` (bytes), `pkts_dir` (1 = client → server, 0 =
back). `num_pkts`, `duration` and `bytes` describe the whole flow; the series may hold
only its first packets. Any further column can be used to keep flows together in a split
(`group_by`); otherwise it is ignored. A folder of such files is read as one file. Its
subfolders may add columns, as in `partition=train/0.parquet`.
"""

import collections
import glob
import json
import os
import pathlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from absl import logging

from mtl_traffic import files
from mtl_traffic import flows as flows_lib
from mtl_traffic.data import arrow_columns, parquet_footer
from mtl_traffic.errors import InputError, first_line
from mtl_traffic.flows import Flows

SERIES = ("timetofirst", "pkts_size", "pkts_dir")
TOTALS = ("num_pkts", "duration", "bytes")
COLUMNS = ("app", "flow_id", "partition", *TOTALS, *SERIES)
_RULES = b"mtl_traffic.rules"  # Key in the file's metadata.
_BYTES_AT_ONCE = 1 << 22
_ROWS_AT_ONCE = 65_536  # Bounds the memory for Arrow data beside the result.
# Limits on the unpacked size, in bytes and as a multiple of the file's size. No file of
# flows exceeds both, because times hardly repeat.
_MOST_BYTES, _MOST_TIMES = 1 << 28, 1000
_LONGEST_TEXT = 4096  # Bytes of a name or id.
# Values of split_by, and the columns in which `extract_flows` writes them.
_GROUPS = {
  "capture": "partition",
  "client": "client_address",
  "server": "server_address",
  "day": "start_time",
}
_TEXTS = ("app", "flow_id", "partition")
_MISSING_IN_FOLDER_NAME = "__HIVE_DEFAULT_PARTITION__"


def read(
  path: str | os.PathLike, max_packets: int | None = None, group_by: str = ""
) -> Flows:
  """Reads flows from a Parquet file in the curated layout.

  An `app` that is null, empty or NaN is an unknown class. Classes are in alphabetical
  order, partitions in order of appearance. Packets whose times go backwards are sorted;
  the number of such flows is logged.

  Args:
    path: the file, a folder of such files, or a pattern such as 'DIR/*.parquet'.
    max_packets: how many packets of each flow to keep; by default all that are stored.
    group_by: the column for the flows' `groups`; of a time, the day is used. If the
      file has no such column, "capture" is the partition, "client" and "server" are
      addresses, and "day" is the day of the flow's start. Empty = no groups.

  Raises:
    InputError: the file is missing, not Parquet, cut short, lacks a column, or holds an
      invalid value. The message names the file, the flow and the field.
  """
  batches, num_sorted = [], 0
  for file in _files(path):
    for batch, was_sorted in _read_file(
      file, _given_by_folders(file, path), max_packets, group_by
    ):
      batches.append(batch)
      num_sorted += int(was_sorted.sum())
  if not batches:
    raise InputError(f"{path}: holds no flows")
  if num_sorted:
    logging.info("%s: sorted the packets of %d flows by time", path, num_sorted)
  return _with_sorted_class_names(flows_lib.concatenate(batches))


def of_table(table: pa.Table, source: str = "table") -> Flows:
  """The flows of an Arrow table in the curated layout; class names as in `read`.

  Args:
    table: its rows; further columns are ignored.
    source: where it comes from, for messages.

  Raises:
    InputError: the table is empty, lacks a column, or holds an invalid value.
  """
  _check_columns(table.column_names, source, {})
  batches, first_row = [], 0
  for record_batch in table.select(COLUMNS).combine_chunks().to_batches():
    flows, _ = _flows(record_batch, source, first_row, None)
    batches.append(flows)
    first_row += len(flows)
  if not batches:
    raise InputError(f"{source}: holds no flows")
  return _with_sorted_class_names(flows_lib.concatenate(batches))


def read_texts(
  path: str | os.PathLike, names: Sequence[str]
) -> dict[str, list[str | None]]:
  """Reads further text columns, in the order of the flows that `read` returns.

  Args:
    path: as for `read`.
    names: the columns; a column that a file lacks is left out.

  Raises:
    InputError: a file cannot be read, or a column is not text.
  """
  paths = _files(path)
  try:
    schemas = [pq.read_schema(file) for file in paths]
    names = [name for name in names if all(name in schema.names for schema in schemas)]
    found = {name: [] for name in names}
    for file in paths:
      with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(_rows_at_once(opened, file), columns=names):
          for name in names:
            found[name] += _text(batch, name, file).to_pylist()
  except InputError:
    raise
  except (pa.ArrowException, OSError, ValueError) as error:
    raise InputError(f"{path}: cannot be read ({first_line(error)})") from error
  return found


def rules_of(schema: pa.Schema) -> dict[str, object]:
  """The rules that the metadata of a table of flows hold; none by default.

  Raises:
    ValueError: they are damaged.
  """
  return json.loads((schema.metadata or {}).get(_RULES, b"{}"))


def read_rules(path: str | os.PathLike) -> dict[str, object]:
  """The rules stored in a file of flows; see `captures.Rules.shared`.

  Raises:
    InputError: a file cannot be read, or the rules of two files differ.
  """
  first, *others = _files(path)
  rules = _rules(first)
  for file in others:
    if _rules(file) != rules:
      raise InputError(
        f"{file}: its flows and those of {first} were made by different rules"
      )
  return rules


def write(
  flows: Flows, path: str | os.PathLike, rules: Mapping[str, object] | None = None
) -> None:
  """Writes flows as a Parquet file; the file appears when it is complete.

  Args:
    flows: the flows.
    path: the file.
    rules: the rules that made the flows, if known; see `captures.Rules.shared`.
  """
  with files.replacing(path) as partial:
    pq.write_table(
      to_table(flows, rules), partial, compression="zstd", write_page_checksum=True
    )


def to_table(flows: Flows, rules: Mapping[str, object] | None = None) -> pa.Table:
  """The flows as an Arrow table in the curated layout."""
  packets = flows.packets
  there = packets.there
  offsets = pa.array(np.concatenate([[0], np.cumsum(packets.counts)]).astype(np.int32))

  def series(padded: np.ndarray) -> pa.Array:
    return pa.ListArray.from_arrays(offsets, pa.array(padded[there]))

  known = flows.classes >= 0
  return pa.table(
    {
      "row_id": np.arange(len(flows)),
      "app": _names(flows.class_names, np.where(known, flows.classes, 0), ~known),
      "flow_id": pa.array(flows.ids.tolist(), pa.string()),
      "partition": _names(flows.partition_names, flows.partitions),
      "num_pkts": flows.num_packets.astype(np.int64),
      "duration": flows.durations.astype(np.float64),
      "bytes": flows.num_bytes.astype(np.int64),
      "timetofirst": series(packets.times),
      "pkts_size": series(packets.lengths.astype(np.int64)),
      "pkts_dir": series((packets.directions > 0).astype(np.int64)),
    },
    metadata={_RULES: json.dumps(dict(rules)).encode()} if rules else None,
  )


def _names(names: tuple[str, ...], codes: np.ndarray, missing=None) -> pa.Array:
  codes = pa.array(codes, pa.int32(), mask=missing)
  return pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.string()))


def _rules(file: pathlib.Path) -> dict[str, object]:
  try:
    return rules_of(pq.read_schema(file))
  except (pa.ArrowException, OSError, ValueError) as error:
    raise InputError(f"{file}: cannot be read ({first_line(error)})") from error


def _files(path: str | os.PathLike) -> list[pathlib.Path]:
  """The file itself, or the files of the folder or pattern, in order of their names.

  Raises:
    InputError: no file was found.
  """
  path = pathlib.Path(path)
  if path.is_file():
    return [path]
  if path.is_dir():
    found = [
      file
      for file in sorted(path.rglob("*.parquet"))
      # Leaves out the further files that writers add.
      if not any(part[0] in "._" for part in file.relative_to(path).parts)
    ]
    if not found:
      raise InputError(f"{path}: no .parquet file is in this folder")
    return found
  found = [pathlib.Path(name) for name in sorted(glob.glob(str(path)))]
  if not found:
    raise InputError(f"{path}: no such file; give a Parquet file of flows")
  return found


def _given_by_folders(
  file: pathlib.Path, folder: pathlib.Path
) -> dict[str, str | None]:
  """Columns that the names of folders give, for example `partition=train`."""
  folder = pathlib.Path(folder)
  given = {}
  if folder.is_dir():
    for part in file.relative_to(folder).parts[:-1]:
      name, equals, value = part.partition("=")
      if equals:
        is_missing = value == _MISSING_IN_FOLDER_NAME
        given[name] = None if is_missing else urllib.parse.unquote(value)
  return given


def _read_file(
  path: pathlib.Path,
  given: Mapping[str, str | None],
  max_packets: int | None,
  group_by: str,
) -> Iterator[tuple[Flows, np.ndarray]]:
  """Yields a file's flows in batches, with a mask of the flows that were sorted."""
  try:
    # Texts stay dictionary-encoded until their length has been checked.
    schema = pq.read_schema(path)
    texts = [
      each.name
      for each in schema
      if each.name in _TEXTS and arrow_columns.is_text(each.type)
    ]
    with pq.ParquetFile(
      path, page_checksum_verification=True, read_dictionary=texts
    ) as file:
      _check_columns(file.schema_arrow.names, path, given)
      rows, first_row = _rows_at_once(file, path), 0
      there = file.schema_arrow.names
      group_column = _group_column(path, group_by, {*there, *given})
      columns = [name for name in COLUMNS if name in there]
      if group_column in there and group_column not in columns:
        columns.append(group_column)
      for record_batch in file.iter_batches(rows, columns=columns):
        for name in COLUMNS:
          if name not in columns:
            constant = pa.array([given[name]] * len(record_batch), pa.string())
            record_batch = record_batch.append_column(name, constant)
        flows, was_sorted = _flows(record_batch, path, first_row, max_packets)
        if group_column in record_batch.schema.names:
          groups = _as_groups(record_batch[group_column], path, group_column)
          flows = flows.replace(groups=groups)
        elif group_column:  # The column is from a folder's name.
          flows = flows.replace(groups=np.full(len(flows), str(given[group_column])))
        yield flows, was_sorted
        first_row += record_batch.num_rows
  except InputError:
    raise
  except (pa.ArrowException, OSError, ValueError) as error:
    raise InputError(
      f"{path}: not a readable Parquet file ({first_line(error)}); "
      "it may be cut short, fetch or write it again"
    ) from error


def _group_column(path: pathlib.Path, group_by: str, there: set[str]) -> str:
  """The column of a file to group flows by; empty for no groups."""
  name = group_by if group_by in there else _GROUPS.get(group_by, group_by)
  if name and (name not in there or name in SERIES):
    able = sorted(there - {*SERIES, *TOTALS, "row_id", "app", "flow_id"})
    raise InputError(
      f"{path}: split_by: there is no column {name!r} to group flows by; there are "
      f"{', '.join(able)}"
    )
  return name


def _as_groups(values: pa.Array, path: pathlib.Path, name: str) -> np.ndarray:
  """`[N]` str; a time becomes its day, and flows without a value form one group."""
  try:
    if pa.types.is_timestamp(values.type):
      values = pc.strftime(values, "%Y-%m-%d")
    texts = arrow_columns.as_text(values)
  except pa.ArrowException:
    raise InputError(
      f"{path}: split_by: column {name} has type {values.type}, which is not text"
    ) from None
  return np.asarray(texts.fill_null("").to_pylist(), dtype=np.str_)


def _check_columns(
  names: Sequence[str], path: str | os.PathLike, given: Mapping[str, str | None]
) -> None:
  counts = collections.Counter(names)
  missing = [name for name in COLUMNS if not counts[name] and name not in given]
  if missing:
    raise InputError(
      f"{path}: lacks the column {', '.join(missing)}; "
      f"the layout needs {', '.join(COLUMNS)}"
    )
  for name in COLUMNS:
    if counts[name] > 1:
      raise InputError(f"{path}: has {counts[name]} columns {name}; leave one of them")


def _rows_at_once(file: pq.ParquetFile, path: pathlib.Path) -> int:
  """How many rows to read at a time, given their unpacked size.

  Raises:
    InputError: the unpacked size exceeds the limits.
  """
  size = path.stat().st_size
  with path.open("rb") as plain:
    num_values, unpacked = parquet_footer.unpacked_size(plain)
  if unpacked > max(_MOST_BYTES, _MOST_TIMES * size):
    raise InputError(
      f"{path}: {size} bytes that unpack to {unpacked} cannot be flows; "
      "write it again from where it came from"
    )
  # Limits values and bytes: texts are longer than numbers, packed numbers shorter.
  rows = _BYTES_AT_ONCE * file.metadata.num_rows // max(size, num_values, 1)
  return max(1, min(rows, _ROWS_AT_ONCE))


def _text(batch: pa.RecordBatch, name: str, path: str | os.PathLike) -> pa.Array:
  longest = arrow_columns.longest_text(batch[name])
  if longest > _LONGEST_TEXT:
    raise InputError(
      f"{path}: column {name} has a text of {longest} bytes, more than a name has"
    )
  try:
    return arrow_columns.as_text(batch[name])
  except pa.ArrowException:
    kind = batch[name].type
    raise InputError(
      f"{path}: column {name} has type {kind}, which is not text"
    ) from None


def _flows(
  batch: pa.RecordBatch,
  path: str | os.PathLike,
  first_row: int,
  max_packets: int | None,
) -> tuple[Flows, np.ndarray]:
  def text(name: str) -> pa.Array:
    return _text(batch, name, path)

  flow_ids = text("flow_id")
  if flow_ids.null_count:
    raise InputError(
      f"{path}: row {first_row + _first(pc.is_null(flow_ids))}: flow_id is missing"
    )

  def fail(row: int, problem: str):
    raise InputError(f"{path}: flow {flow_ids[row]} (row {first_row + row}): {problem}")

  def column(name: str, dtype: pa.DataType) -> np.ndarray:
    values = batch[name]
    if values.null_count:
      fail(_first(pc.is_null(values)), f"{name} is missing")
    try:
      return arrow_columns.as_numbers(values, dtype)
    except pa.ArrowException:
      raise InputError(
        f"{path}: column {name} has type {values.type}, which is not all {dtype}"
      ) from None

  offsets, values = {}, {}
  for name, dtype in zip(SERIES, (pa.float64(), pa.int64(), pa.int64()), strict=True):
    lists = batch[name]
    if lists.null_count:
      fail(_first(pc.is_null(lists)), f"{name} is missing")
    found = arrow_columns.as_lists(lists)
    if found is None:
      raise InputError(f"{path}: column {name} has type {lists.type}, must be a list")
    flat, lengths = found
    offsets[name] = np.concatenate([[0], np.cumsum(lengths)])
    if flat.null_count:
      position = _first(pc.is_null(flat))
      fail(_row_of(offsets[name], position), f"{name} has a missing value")
    try:
      values[name] = arrow_columns.as_numbers(flat, dtype)
    except pa.ArrowException:
      raise InputError(
        f"{path}: column {name} has values of type {flat.type}, not all {dtype}"
      ) from None

  counts = np.diff(offsets["timetofirst"])
  for name in SERIES[1:]:
    ragged = np.diff(offsets[name]) != counts
    if ragged.any():
      row = int(np.argmax(ragged))
      fail(
        row,
        f"{name} has {np.diff(offsets[name])[row]} packets, "
        f"timetofirst has {counts[row]}; all series of a flow need the same length",
      )

  def check_series(name: str, wrong: np.ndarray, rule: str) -> None:
    if wrong.any():
      position = int(np.argmax(wrong))
      row = _row_of(offsets[name], position)
      packet = position - int(offsets[name][row]) + 1
      fail(
        row, f"{name} of packet {packet} is {values[name][position]}, must be {rule}"
      )

  times, sizes, toward_server = (values[name] for name in SERIES)
  check_series("timetofirst", ~np.isfinite(times), "a finite number of seconds")
  in_range = (sizes >= 0) & (sizes <= np.iinfo(np.int32).max)
  check_series("pkts_size", ~in_range, "0 bytes or more")
  check_series("pkts_dir", (toward_server != 0) & (toward_server != 1), "0 or 1")
  packets, was_sorted = flows_lib.pad_packets(
    times, sizes, 2 * toward_server - 1, counts, max_packets
  )

  totals = {
    "num_pkts": column("num_pkts", pa.int64()),
    "duration": column("duration", pa.float64()),
    "bytes": column("bytes", pa.int64()),
  }
  for name, wrong, rule in (
    ("num_pkts", totals["num_pkts"] < counts, "at least the series' length"),
    ("duration", ~(totals["duration"] >= 0), "0 s or more"),
    ("duration", np.isinf(totals["duration"]), "finite"),
    ("bytes", totals["bytes"] < 0, "0 or more"),
  ):
    if wrong.any():
      row = int(np.argmax(wrong))
      fail(row, f"{name} is {totals[name][row]}, must be {rule}")

  classes, class_names = _codes(text("app"))
  partitions, partition_names = _codes(text("partition"))
  if (partitions < 0).any():
    fail(int(np.argmax(partitions < 0)), "partition is missing")
  return Flows(
    packets=packets,
    num_packets=totals["num_pkts"],
    durations=totals["duration"],
    num_bytes=totals["bytes"],
    classes=classes,
    partitions=partitions,
    ids=np.asarray(flow_ids.to_pylist(), dtype=np.str_),
    class_names=class_names,
    partition_names=partition_names,
  ), was_sorted


def _codes(names: pa.Array) -> tuple[np.ndarray, tuple[str, ...]]:
  """Codes in order of appearance; −1 where the name is null, empty or NaN."""
  distinct = pc.unique(names).drop_null().to_pylist()
  missing = [name for name in distinct if flows_lib.is_missing_name(name)]
  names = pc.if_else(pc.is_in(names, pa.array(missing, names.type)), None, names)
  encoded = names.dictionary_encode()
  codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
  return codes.astype(np.int32), tuple(encoded.dictionary.to_pylist())


def _with_sorted_class_names(flows: Flows) -> Flows:
  order = np.argsort(flows.class_names)
  rank = np.append(np.argsort(order), flows_lib.UNKNOWN).astype(np.int32)
  return flows.replace(
    classes=rank[flows.classes],
    class_names=tuple(flows.class_names[i] for i in order),
  )


def _first(mask: pa.Array) -> int:
  return int(np.argmax(mask.to_numpy(zero_copy_only=False)))


def _row_of(offsets: np.ndarray, position: int) -> int:
  return int(np.searchsorted(offsets, position, side="right")) - 1
