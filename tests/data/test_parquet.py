import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_traffic import pytrees  # noqa: F401 - flows are compared as trees
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError


def _columns():
  return {
    "app": ["b", "a", None],
    "flow_id": ["x-1", "x-2", "x-3"],
    "partition": ["train", "test", "train"],
    "num_pkts": [5, 2, 1],
    "duration": [3.5, 0.0, 1.0],
    "bytes": [900, 200, 6_000_000_000],
    "timetofirst": [[0.0, 2.0, 1.0], [0.0, 0.0], [0.0]],
    "pkts_size": [[10, 20, 30], [40, 50], [60]],
    "pkts_dir": [[1, 0, 1], [1, 0], [1]],
  }


def _write(path, columns):
  pq.write_table(pa.table(columns), path)
  return path


def test_reading_by_hand(tmp_path):
  flows = parquet.read(_write(tmp_path / "f.parquet", _columns()))
  assert flows.class_names == ("a", "b")
  assert flows.partition_names == ("train", "test")
  np.testing.assert_array_equal(flows.classes, [1, 0, -1])
  np.testing.assert_array_equal(flows.partitions, [0, 1, 0])
  np.testing.assert_array_equal(flows.ids, ["x-1", "x-2", "x-3"])
  # The first flow's times go backwards and are sorted.
  np.testing.assert_array_equal(flows.packets.times[0], [0, 1, 2])
  np.testing.assert_array_equal(flows.packets.lengths[0], [10, 30, 20])
  np.testing.assert_array_equal(flows.packets.directions[0], [1, 1, -1])
  np.testing.assert_array_equal(flows.packets.directions[2], [1, 0, 0])
  # Totals are the columns', not the series' sums.
  np.testing.assert_array_equal(flows.num_packets, [5, 2, 1])
  np.testing.assert_array_equal(flows.num_bytes, [900, 200, 6_000_000_000])
  np.testing.assert_array_equal(flows.durations, [3.5, 0, 1])


def test_a_table_gives_the_flows_of_its_file(tmp_path):
  table = pa.table(_columns() | {"more": [1, 2, 3]})
  # In two pieces, with columns in another order, and names in a dictionary.
  table = pa.concat_tables([table[:1], table[1:]]).select(table.column_names[::-1])
  app = table.column_names.index("app")
  table = table.set_column(app, "app", table["app"].dictionary_encode())
  flows = parquet.of_table(table)
  expected = parquet.read(_write(tmp_path / "f.parquet", _columns()))
  assert flows.class_names == expected.class_names
  assert flows.partition_names == expected.partition_names
  jax.tree.map(np.testing.assert_array_equal, flows, expected)


def test_a_table_that_is_wrong_is_named():
  table = pa.table(_columns())
  with pytest.raises(InputError, match="answers: holds no flows"):
    parquet.of_table(table[:0], "answers")
  with pytest.raises(InputError, match="table: lacks the column bytes; the layout"):
    parquet.of_table(table.drop_columns(["bytes"]))
  with pytest.raises(InputError, match=r"table: flow x-2 \(row 1\): bytes is -1"):
    parquet.of_table(pa.table(_columns() | {"bytes": [9, -1, 9]}))


def test_max_packets_keeps_the_first(tmp_path):
  flows = parquet.read(_write(tmp_path / "f.parquet", _columns()), max_packets=2)
  np.testing.assert_array_equal(flows.packets.times, [[0, 1], [0, 0], [0, 0]])
  np.testing.assert_array_equal(flows.packets.counts, [2, 2, 1])


def test_written_flows_are_read_back_unchanged(tmp_path, flows, monkeypatch):
  monkeypatch.setattr(parquet, "_ROWS_AT_ONCE", 7)  # Several batches.
  flows = flows.replace(
    classes=np.where(np.arange(90) == 4, -1, flows.classes).astype(np.int32)
  )
  parquet.write(flows, tmp_path / "new" / "f.parquet")
  again = parquet.read(tmp_path / "new" / "f.parquet")
  jax.tree.map(np.testing.assert_array_equal, flows, again)
  assert [p.name for p in (tmp_path / "new").iterdir()] == ["f.parquet"]


def test_a_failed_write_leaves_the_earlier_file(tmp_path, flows, monkeypatch):
  path = tmp_path / "f.parquet"
  parquet.write(flows, path)
  before = path.read_bytes()

  def full_disk(table, partial, **options):
    partial.write_bytes(b"half")
    raise OSError("No space left on device")

  monkeypatch.setattr(pq, "write_table", full_disk)
  with pytest.raises(InputError, match="No space"):
    parquet.write(flows, path)
  assert path.read_bytes() == before
  assert [p.name for p in tmp_path.iterdir()] == ["f.parquet"]


def _series(row, values):
  return lambda column: [values if i == row else v for i, v in enumerate(column)]


@pytest.mark.parametrize(
  ("column", "change", "message"),
  [
    ("pkts_dir", None, "lacks the column pkts_dir"),
    ("pkts_size", _series(1, [40]), "flow x-2 (row 1): pkts_size has 1 packets"),
    ("timetofirst", _series(0, [0.0, float("nan"), 1.0]), "of packet 2 is nan"),
    ("timetofirst", _series(0, [0.0, None, 1.0]), "flow x-1 (row 0): timetofirst"),
    ("timetofirst", _series(0, None), "flow x-1 (row 0): timetofirst is missing"),
    ("pkts_size", _series(1, [40, -5]), "pkts_size of packet 2 is -5"),
    ("pkts_dir", _series(2, [2]), "flow x-3 (row 2): pkts_dir of packet 1 is 2"),
    ("num_pkts", _series(0, 2), "num_pkts is 2, must be at least the series'"),
    ("duration", _series(1, float("nan")), "flow x-2 (row 1): duration is nan"),
    ("duration", _series(1, -1.0), "duration is -1.0, must be 0 s or more"),
    ("duration", _series(1, float("inf")), "duration is inf, must be finite"),
    ("duration", _series(1, None), "flow x-2 (row 1): duration is missing"),
    ("bytes", _series(2, -1), "bytes is -1"),
    ("partition", _series(1, None), "flow x-2 (row 1): partition is missing"),
    ("bytes", lambda column: ["many"] * 3, "column bytes has type string"),
    ("pkts_size", lambda column: [1, 2, 3], "pkts_size has type int64, must be a list"),
    ("pkts_size", lambda column: [["x"] * len(c) for c in column], "not all int64"),
  ],
)
def test_bad_values_are_named(tmp_path, column, change, message):
  columns = _columns()
  if change is None:
    del columns[column]
  else:
    columns[column] = change(columns[column])
  path = _write(tmp_path / "f.parquet", columns)
  with pytest.raises(InputError) as error:
    parquet.read(path)
  assert str(error.value).startswith(f"{path}: ")
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_files_that_are_no_parquet(tmp_path):
  whole = _write(tmp_path / "f.parquet", _columns())
  cut = tmp_path / "cut.parquet"
  cut.write_bytes(whole.read_bytes()[:-50])
  empty = tmp_path / "empty.parquet"
  empty.write_bytes(b"")
  for path in (cut, empty):
    with pytest.raises(InputError, match="not a readable Parquet file"):
      parquet.read(path)
  with pytest.raises(InputError, match="no such file"):
    parquet.read(tmp_path / "none.parquet")
  nothing = _write(tmp_path / "n.parquet", {k: v[:0] for k, v in _columns().items()})
  with pytest.raises(InputError, match="holds no flows"):
    parquet.read(nothing)


def test_a_damaged_page_is_an_input_error(tmp_path):
  path = _write(tmp_path / "f.parquet", _columns())
  data = bytearray(path.read_bytes())
  data[20:60] = b"\xff" * 40
  path.write_bytes(data)
  with pytest.raises(InputError):
    parquet.read(path)


def test_flows_have_groups_by_any_column_or_what_stands_for_it(flows, tmp_path):
  path = tmp_path / "flows.parquet"
  days = np.arange(90) // 50
  table = parquet.to_table(flows)
  table = table.append_column("site", pa.array(days + 7))
  times = pa.array(days * 86_400_000_000_000, pa.timestamp("ns", "UTC"))
  pq.write_table(table.append_column("start_time", times), path)
  assert parquet.read(path).groups is None
  read = {name: parquet.read(path, 4, name).groups for name in ("site", "day")}
  np.testing.assert_array_equal(read["site"], (days + 7).astype(str))
  np.testing.assert_array_equal(
    read["day"], np.array(["1970-01-01", "1970-01-02"])[days]
  )
  assert set(parquet.read(path, group_by="capture").groups) == {"training"}
  with pytest.raises(
    InputError, match="there is no column 'client_address' to group flows by"
  ):
    parquet.read(path, group_by="client")
