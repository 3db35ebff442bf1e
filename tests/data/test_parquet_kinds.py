"""Tests of `mtl_traffic.data.parquet` on files as other programs write them."""

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_traffic import data
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError

IDS = ["x-1", "x-2", "x-3"]


def columns():
  """Three flows of two packets, as plain Arrow arrays."""
  return {
    "app": pa.array(["b", "a", None]),
    "flow_id": pa.array(IDS),
    "partition": pa.array(["train", "test", "train"]),
    "num_pkts": pa.array([5, 2, 2]),
    "duration": pa.array([3.5, 0.0, 1.0]),
    "bytes": pa.array([900, 200, 300]),
    "timetofirst": pa.array([[0.0, 2.0], [0.0, 0.5], [0.0, 1.0]]),
    "pkts_size": pa.array([[10, 20], [40, 50], [60, 70]]),
    "pkts_dir": pa.array([[1, 0], [1, 0], [1, 1]]),
  }


def write(path, **changed):
  path.parent.mkdir(parents=True, exist_ok=True)
  pq.write_table(pa.table(columns() | changed), path)
  return path


def check(flows):
  np.testing.assert_array_equal(flows.packets.lengths, [[10, 20], [40, 50], [60, 70]])
  assert flows.num_packets.tolist() == [5, 2, 2]
  assert [flows.class_names[c] if c >= 0 else None for c in flows.classes] == [
    *("b", "a", None)
  ]


SERIES = {"timetofirst": pa.float64(), "pkts_size": pa.int64(), "pkts_dir": pa.int64()}


@pytest.mark.parametrize("kind", [lambda t: pa.list_(t, 2), pa.large_list, pa.list_])
def test_lists_of_each_kind(tmp_path, kind):
  changed = {name: columns()[name].cast(kind(t)) for name, t in SERIES.items()}
  check(parquet.read(write(tmp_path / "f.parquet", **changed)))


@pytest.mark.parametrize(
  "change",
  [
    lambda values: values.dictionary_encode(),
    lambda values: values.cast(pa.large_string()),
    lambda values: values.cast(pa.binary()),
    lambda values: values.cast(pa.large_binary()),
    lambda values: values.cast(pa.string_view()),
  ],
)
def test_names_of_each_kind(tmp_path, change):
  changed = {name: change(columns()[name]) for name in ("app", "flow_id", "partition")}
  flows = parquet.read(write(tmp_path / "f.parquet", **changed))
  check(flows)
  assert flows.ids.tolist() == IDS and flows.partition_names == ("train", "test")


@pytest.mark.parametrize(
  ("app", "names"),
  [
    (pa.array([1.0, float("nan"), 2.0]), ("1", None, "2")),
    (pa.array([1.0, float("nan"), None], pa.float32()), ("1", None, None)),
    (pa.array(np.array([1, np.nan, 2], np.float16)), ("1", None, "2")),
    (pa.array([1.0, float("nan"), 2.0]).dictionary_encode(), ("1", None, "2")),
    (pa.array(["a", "nan", "NaN"]), ("a", None, None)),
    (pa.array(["a", "", " "]).dictionary_encode(), ("a", None, None)),
    (pa.array([b"a", b"nan", None]), ("a", None, None)),
    (pa.array(["a", "nan", "b"], pa.string_view()), ("a", None, "b")),
    (pa.array([1, None, 2]), ("1", None, "2")),
    (pa.array([None, None, None]), (None, None, None)),
    (pa.array(["Nancy", "banana", "nano"]), ("Nancy", "banana", "nano")),
  ],
)
def test_a_class_that_is_missing_is_unknown(tmp_path, app, names):
  flows = parquet.read(write(tmp_path / "f.parquet", app=app))
  assert tuple(flows.class_names[c] if c >= 0 else None for c in flows.classes) == names


@pytest.mark.parametrize("kind", [pa.uuid(), pa.binary(16)])
def test_ids_that_are_uuids(tmp_path, kind):
  ids = [uuid.UUID(int=i) for i in range(3)]
  packed = pa.array([each.bytes for each in ids], pa.binary(16))
  path = write(tmp_path / "f.parquet", flow_id=packed.cast(kind))
  assert parquet.read(path).ids.tolist() == [str(each) for each in ids]


def test_ids_that_are_no_text_become_hexadecimal(tmp_path):
  ids = pa.array([b"\xff\x01", b"a", b""], pa.binary())
  path = write(tmp_path / "f.parquet", flow_id=ids)
  assert parquet.read(path).ids.tolist() == ["ff01", "61", ""]


def test_numbers_as_classes_and_nan_as_none(tmp_path):
  path = write(tmp_path / "f.parquet", app=pa.array([2.0, float("nan"), 10.0]))
  flows = parquet.read(path)
  assert flows.class_names == ("10", "2") and flows.classes.tolist() == [1, -1, 0]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint32(), pa.float32(), pa.bool_()])
def test_numbers_of_each_kind(tmp_path, kind):
  directions = columns()["pkts_dir"].cast(pa.list_(kind))
  check(parquet.read(write(tmp_path / "f.parquet", pkts_dir=directions)))


@pytest.mark.parametrize(
  ("name", "values", "message"),
  [
    ("app", pa.array([{"x": 1}] * 3), "column app has type struct<x: int64>"),
    ("flow_id", pa.array(["a", None, "b"]), "row 1: flow_id is missing"),
    ("num_pkts", pa.array([2.5, 2, 2]), "column num_pkts has type double"),
    ("bytes", pa.array(["9", "x", "9"]), "column bytes has type string"),
  ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, values, message):
  path = write(tmp_path / "f.parquet", **{name: values})
  with pytest.raises(InputError) as error:
    parquet.read(path)
  assert message in str(error.value) and "\n" not in str(error.value)


def test_a_column_that_is_there_twice_is_named(tmp_path):
  names = [*columns(), "app"]
  table = pa.Table.from_arrays([*columns().values(), columns()["app"]], names)
  pq.write_table(table, tmp_path / "f.parquet")
  with pytest.raises(InputError, match=r"f\.parquet: has 2 columns app"):
    parquet.read(tmp_path / "f.parquet")


def test_a_folder_of_files_is_one_dataset(tmp_path):
  folder = tmp_path / "flows"
  for name in ("b.parquet", "a.parquet"):
    ids = pa.array([f"{name}{i}" for i in range(3)])
    write(folder / name, flow_id=ids)
  write(folder / "_temporary" / "c.parquet")
  for dataset in (str(folder), str(folder / "*.parquet")):
    flows = data.load(dataset)
    assert [each[:1] for each in flows.ids] == ["a"] * 3 + ["b"] * 3


def test_folders_give_columns(tmp_path):
  plain = {k: v for k, v in columns().items() if k not in ("app", "partition")}
  for folder in (
    "app=a%2Fb/partition=train",
    "app=__HIVE_DEFAULT_PARTITION__/partition=x",
  ):
    path = tmp_path / folder / "0.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(plain), path)
  flows = parquet.read(tmp_path)
  assert flows.class_names == ("a/b",)
  assert sorted(flows.partition_names) == ["train", "x"]
  assert sorted(flows.classes.tolist()) == [-1] * 3 + [0] * 3


def test_files_of_different_rules_are_not_mixed(tmp_path):
  flows = parquet.read(write(tmp_path / "plain.parquet"))
  folder = tmp_path / "both"
  for name, seconds in (("a.parquet", 15.0), ("b.parquet", 30.0)):
    parquet.write(flows, folder / name, rules={"udp_silence_s": seconds})
  with pytest.raises(InputError, match=r"b\.parquet: its flows and those of "):
    parquet.read_rules(folder)


def test_a_folder_without_files_is_named(tmp_path):
  with pytest.raises(InputError, match=r"no \.parquet file"):
    parquet.read(tmp_path)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
  packets = np.zeros(20_000_000, np.int8)
  series = pa.ListArray.from_arrays(
    pa.array(np.arange(0, 20_000_001, 200_000, dtype=np.int32)), pa.array(packets)
  )
  few = {
    name: pa.array([values[1].as_py()] * 100) for name, values in columns().items()
  }
  few |= dict.fromkeys(SERIES, series)
  path = tmp_path / "bomb.parquet"
  pq.write_table(pa.table(few), path, compression="zstd")
  with pytest.raises(InputError, match="cannot be flows"):
    parquet.read(path)


def test_a_name_that_is_a_bomb_is_refused(tmp_path):
  few = {name: pa.array([values[1].as_py()] * 9) for name, values in columns().items()}
  few["flow_id"] = pa.array(["x" * 100_000] * 9)
  with pytest.raises(InputError, match="column flow_id has a text of 100000 bytes"):
    parquet.read(write(tmp_path / "f.parquet", **few))
