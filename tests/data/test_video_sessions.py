"""Tests of the builder of video sessions, on files written here."""

import pytest

from mtl_traffic.data.video_sessions import sources
from mtl_traffic.errors import InputError

FIRST = "session,480_1\nrel_ts_us,len\n0,1292\n147,-120\n100,-1500\n25000000,60\n"
SECOND = "session,480_2\nrel_ts_us,len\n500,-66\n"


@pytest.fixture
def manual_dir(tmp_path):
  folder = tmp_path / "manual"
  for name, content in (
    ("Dataset/Bilibili/480/480_merged_001.csv", FIRST + SECOND),
    ("Dataset/Bilibili/720/720_merged_001.csv", SECOND),
    ("Dataset/Youtube/480/480_merged_001.csv", FIRST),
    ("Dataset/Youtube/1080/1080_merged_001.csv", FIRST),
    ("Dataset/readme.txt", ""),
  ):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
  return folder


def test_files_by_platform_and_resolution(manual_dir):
  found, left_out = sources.find_files(manual_dir)
  assert [file.name for file in found] == [
    "bilibili-480/480_merged_001",
    "bilibili-720/720_merged_001",
    "youtube-480/480_merged_001",
  ]
  assert left_out == [str(manual_dir / "Dataset/Youtube/1080/1080_merged_001.csv")]


def test_sessions_worked_out_by_hand(tmp_path):
  path = tmp_path / "a.csv"
  path.write_text(FIRST.replace("\n", "\r\n") + SECOND)
  (one, flow), (two, other) = sources.read_sessions(path, max_packets=3)
  assert (one, two) == ("480_1", "480_2")
  # Negative lengths come from the server; the packet at 100 µs stood after 147.
  assert flow.times.tolist() == [0, 0.0001, 0.000147]
  assert flow.lengths.tolist() == [1292, 1500, 120]
  assert flow.directions.tolist() == [1, -1, -1]
  assert (flow.num_packets, flow.duration, flow.num_bytes) == (4, 25.0, 2972)
  assert flow.was_sorted and not other.was_sorted
  assert (other.times.tolist(), other.duration, other.num_bytes) == ([0], 0, 66)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("", "line 1: must be session,<id>"),
    ("0,5\n" + FIRST, "line 1: must be session,<id>"),
    ("session,\nrel_ts_us,len\n0,1\n", "line 1: the session has no id"),
    (FIRST + "session,x\n0,1\n", "line 8: must be rel_ts_us,len"),
    (FIRST + "session,x\nrel_ts_us,len\n", "line 7: session x has no packets"),
    (FIRST + SECOND + FIRST, "line 10: session 480_1 is there twice"),
    (FIRST + SECOND + "7,x\n", "line 10: '7,x' must be whole µs and bytes, not 0"),
    (FIRST + SECOND + "7,0\n", "line 10: '7,0' must be"),
    (FIRST + SECOND + "7\n", "line 10: '7' must be"),
    (FIRST + "\n7,1.5\n" + SECOND, "line 8: '7,1.5' must be"),
    (FIRST + "7,99999999999\n", "line 7: '7,99999999999' must be"),
    (FIRST + "9" * 30 + ",1\n", "line 7: '99"),
  ],
)
def test_files_that_cannot_be_read_raise(tmp_path, content, message):
  path = tmp_path / "a.csv"
  path.write_text(content)
  with pytest.raises(InputError, match=r"a\.csv: line") as error:
    sources.read_sessions(path)
  assert message in str(error.value)


def test_a_folder_without_sessions_raises(tmp_path):
  (tmp_path / "a.csv").write_text(FIRST)
  with pytest.raises(InputError, match=r"no sessions of a known class, but a\.csv"):
    sources.find_files(tmp_path)


def test_flows_of_all_sessions(manual_dir, tmp_path):
  pytest.importorskip("tensorflow_datasets", reason="needs TFDS")
  from mtl_traffic import data

  flows = data.load(
    "video_sessions", data_dir=str(tmp_path / "data"), manual_dir=str(manual_dir)
  )
  assert [
    (str(i), flows.class_names[c])
    for i, c in zip(flows.ids, flows.classes, strict=True)
  ] == [
    ("bilibili-480/480_merged_001#480_1", "bilibili-480"),
    ("bilibili-480/480_merged_001#480_2", "bilibili-480"),
    ("bilibili-720/720_merged_001#480_2", "bilibili-720"),
    ("youtube-480/480_merged_001#480_1", "youtube-480"),
  ]
  assert flows.num_bytes.tolist() == [2972, 66, 66, 2972]
  assert flows.packets.counts.tolist() == [4, 1, 1, 4]
  assert flows.partition_names == ("sessions",)
