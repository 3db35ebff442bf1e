"""Tests of `mtl_traffic.data.splt`: flows that other meters made."""

import csv
import json

import numpy as np
import pytest

from mtl_traffic.data import splt
from mtl_traffic.errors import InputError

SPLT = {
  "id": [7, 8],
  "splt_direction": [[0, 1, 0, -1], "[0, -1, -1, -1]"],
  "splt_ps": [[38, 228, 28, -1], "[40, -1, -1, -1]"],
  "splt_piat_ms": [[0, 30, 1200, -1], "[0, -1, -1, -1]"],
  "bidirectional_packets": [5, 1],
  "bidirectional_bytes": [1655, 40],
  "bidirectional_duration_ms": [3000, 0],
  "application_name": ["DNS", None],
}
PPI = {
  "PPI": ["[[0, 7, 12], [1, -1, -1], [1252, 1200, 30], [1, 0, 0]]", [[0], [1], [90]]],
  "PACKETS": [4, 1],
  "PACKETS_REV": [6, 0],
  "BYTES": [2000, 118],
  "BYTES_REV": [5000, 0],
  "DURATION": [1.25, 0.0],
  "APP": ["google", "nan"],
}
# As NEMEA's logger writes flows of ipfixprobe; the second has no packet with payload.
UNIREC = """\
ipaddr DST_IP,uint64 BYTES,uint64 BYTES_REV,time TIME_FIRST,time TIME_LAST,\
uint32 PACKETS,uint32 PACKETS_REV,string LABEL,int8* PPI_PKT_DIRECTIONS,\
uint8* PPI_PKT_FLAGS,uint16* PPI_PKT_LENGTHS,time* PPI_PKT_TIMES
10.0.0.1,394,635,2026-03-03T15:57:34.458000,2026-03-03T15:57:34.700001,\
6,4,"web",[1|-1|1],\
[24|24|16],[74|419|0],[2026-03-03T15:57:34.458000|2026-03-03T15:57:34.523001|\
2026-03-03T15:57:34.523500]
10.0.0.2,40,0,2026-03-03T15:57:35.000000,2026-03-03T15:57:35.000000,\
1,0,"",[],\
[],[],[]
"""
PSTATS = {
  "PPI_PKT_DIRECTIONS": [[1, -1], [1]],
  "PPI_PKT_LENGTHS": [[60, 70], [80]],
  "PPI_PKT_TIMES": ["[2026-03-03T00:00:00|2026-03-03T00:00:00.25]"] * 2,
  "PACKETS": [2, 1],
  "PACKETS_REV": [1, 0],
  "BYTES": [200, 120],
  "BYTES_REV": [100, 0],
  "TIME_FIRST": ["2026-03-03T00:00:00"] * 2,
  "TIME_LAST": ["2026-03-03T00:00:01"] * 2,
}
PSTATS["PPI_PKT_TIMES"][1] = [np.datetime64("2026-03-03T00:00:00", "ms")]
PADDED = np.zeros((3, 30))
PADDED[:, :2] = [[0, 5], [1, -1], [100, 200]]


def test_the_columns_of_nfstream_become_flows():
  flows = splt.of_nfstream(SPLT, "application_name")
  packets = flows.packets
  assert packets.counts.tolist() == [3, 1]
  assert packets.directions.tolist() == [[1, -1, 1], [1, 0, 0]]
  assert packets.lengths.tolist() == [[38, 228, 28], [40, 0, 0]]
  np.testing.assert_allclose(packets.times, [[0, 0.03, 1.23], [0, 0, 0]], atol=1e-12)
  assert flows.num_packets.tolist() == [5, 1] and flows.num_bytes.tolist() == [1655, 40]
  assert flows.durations.tolist() == [3.0, 0.0]
  assert flows.class_names == ("DNS",) and flows.classes.tolist() == [0, -1]
  assert flows.ids.tolist() == ["7", "8"]
  assert splt.of_nfstream(SPLT).classes.tolist() == [-1, -1]


def test_the_ppi_of_ipfixprobe_becomes_flows():
  flows = splt.of_ppi(PPI, "APP")
  packets = flows.packets
  assert packets.counts.tolist() == [3, 1]
  assert packets.directions.tolist() == [[1, -1, -1], [1, 0, 0]]
  assert packets.lengths.tolist() == [[1252, 1200, 30], [90, 0, 0]]
  np.testing.assert_allclose(packets.times[0], [0, 0.007, 0.019], atol=1e-12)
  assert flows.num_packets.tolist() == [10, 1]
  assert flows.num_bytes.tolist() == [7000, 118]
  assert flows.durations.tolist() == [1.25, 0.0]
  assert flows.class_names == ("google",) and flows.classes.tolist() == [0, -1]
  assert flows.ids.tolist() == ["1", "2"]
  padded = splt.of_ppi(PPI | {"PPI": [PADDED, PADDED], "PACKETS": [2, 2]})
  assert padded.packets.counts.tolist() == [2, 2]
  assert padded.packets.lengths[1].tolist() == [100, 200]


def _unirec(tmp_path):
  path = tmp_path / "flows.csv"
  path.write_text(UNIREC)
  return path


def _check_unirec(flows):
  assert flows.packets.counts.tolist() == [3, 0]
  assert flows.packets.directions[0].tolist() == [1, -1, 1]
  assert flows.packets.lengths[0].tolist() == [74, 419, 0]
  np.testing.assert_allclose(flows.packets.times[0], [0, 0.065001, 0.0655], atol=1e-12)
  assert flows.num_packets.tolist() == [10, 1]
  assert flows.num_bytes.tolist() == [1029, 40]
  np.testing.assert_allclose(flows.durations, [0.242001, 0], atol=1e-12)
  assert flows.class_names == ("web",) and flows.classes.tolist() == [0, -1]


def test_the_csv_of_ipfixprobe_becomes_flows(tmp_path):
  table = splt.read_csv(_unirec(tmp_path))
  _check_unirec(splt.of_ipfixprobe(table, "LABEL"))
  untyped = {name.split()[-1]: cells for name, cells in table.items()}
  _check_unirec(splt.of_ipfixprobe(untyped, "LABEL"))


def test_a_data_frame_of_ipfixprobe_becomes_flows(tmp_path):
  pandas = pytest.importorskip("pandas", reason="the extra nfstream brings it")
  frame = pandas.read_csv(_unirec(tmp_path))
  _check_unirec(splt.of_ipfixprobe(frame, "LABEL"))
  for name in ("TIME_FIRST", "TIME_LAST"):
    frame[f"time {name}"] = pandas.to_datetime(frame[f"time {name}"])
  name = "time* PPI_PKT_TIMES"
  frame[name] = [
    list(pandas.to_datetime(text[1:-1].split("|") if text != "[]" else []))
    for text in frame[name]
  ]
  _check_unirec(splt.of_ipfixprobe(frame, "LABEL"))


def test_gaps_of_more_than_half_an_hour_are_possible():
  times = "[2026-03-03T00:00:00|2026-03-03T10:00:00]"
  flows = splt.of_ipfixprobe(PSTATS | {"PPI_PKT_TIMES": [times, times[:20] + "]"]})
  assert flows.packets.times[0].tolist() == [0, 36_000]


def test_the_lists_of_ipfixprobe_may_be_arrays_and_datetimes():
  flows = splt.of_ipfixprobe(PSTATS)
  assert flows.packets.lengths.tolist() == [[60, 70], [80, 0]]
  assert flows.packets.times.tolist() == [[0, 0.25], [0, 0]]
  assert flows.durations.tolist() == [1, 1]
  assert len(splt.of_ipfixprobe({name: [] for name in PSTATS})) == 0


@pytest.mark.parametrize(
  ("name", "cell", "message"),
  [
    ("PPI_PKT_TIMES", "[yesterday]", "PPI_PKT_TIMES is .yesterday., must be times"),
    ("PPI_PKT_TIMES", [12], "PPI_PKT_TIMES is .12., must be times"),
    ("PPI_PKT_TIMES", None, "PPI_PKT_TIMES is None, must be times"),
    ("PPI_PKT_TIMES", "2026-03-03T00:00:00", "must be times"),
    ("PPI_PKT_TIMES", "[]", "PPI_PKT_TIMES differ in length"),
    ("PPI_PKT_DIRECTIONS", "[0]", "PPI_PKT_DIRECTIONS must be 1 or -1"),
    ("PPI_PKT_LENGTHS", "[x]", "PPI_PKT_LENGTHS is .x., must be lists of numbers"),
    ("TIME_LAST", None, "TIME_LAST is None, must be a time"),
    ("TIME_LAST", "2026-03-02T00:00:00", "TIME_LAST is before TIME_FIRST"),
    ("BYTES", -1, "BYTES must be a number from 0 on"),
  ],
)
def test_what_ipfixprobe_cannot_write_is_named(name, cell, message):
  with pytest.raises(InputError, match=f"ipfixprobe: row 2: .*{message}"):
    splt.of_ipfixprobe(PSTATS | {name: [PSTATS[name][0], cell]})


def test_a_missing_column_of_ipfixprobe_is_named():
  table = {name: cells for name, cells in PSTATS.items() if name != "TIME_LAST"}
  with pytest.raises(InputError, match="ipfixprobe: has no column TIME_LAST"):
    splt.of_ipfixprobe(table)


def test_a_ppi_may_come_from_parquet_with_push_flags(tmp_path):
  pandas = pytest.importorskip("pandas", reason="the extra nfstream brings it")
  padded = [*PADDED.tolist(), [1.0, *[0.0] * 29]]
  table = PPI | {"PPI": [padded, padded], "PACKETS": [2, 2]}
  pandas.DataFrame(table).to_parquet(tmp_path / "flows.parquet")
  flows = splt.of_ppi(pandas.read_parquet(tmp_path / "flows.parquet"), "APP")
  assert flows.packets.lengths.tolist() == [[100, 200]] * 2
  assert flows.packets.directions.tolist() == [[1, -1]] * 2
  assert flows.classes.tolist() == [0, -1]


def test_a_late_packet_is_put_in_its_place():
  table = SPLT | {"splt_piat_ms": [[0, 30, -10, -1], [0, -1, -1, -1]]}
  packets = splt.of_nfstream(table).packets
  assert packets.lengths[0].tolist() == [38, 28, 228]
  np.testing.assert_allclose(packets.times[0], [0, 0.02, 0.03], atol=1e-12)


def test_a_csv_file_gives_the_same_flows(tmp_path):
  path = tmp_path / "flows.csv"
  with open(path, "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(SPLT)
    for row in zip(*SPLT.values(), strict=True):
      cells = [json.dumps(cell) if isinstance(cell, list) else cell for cell in row]
      writer.writerow(cells)
  read, given = (
    splt.of_nfstream(t, "application_name") for t in (splt.read_csv(path), SPLT)
  )
  np.testing.assert_array_equal(read.packets.times, given.packets.times)
  assert read.num_bytes.tolist() == given.num_bytes.tolist()
  assert read.classes.tolist() == given.classes.tolist()
  with pytest.raises(InputError, match=r"no\.csv: cannot be read"):
    splt.read_csv(tmp_path / "no.csv")


def test_a_data_frame_is_a_table():
  pandas = pytest.importorskip("pandas", reason="the extra nfstream brings it")
  flows = splt.of_nfstream(pandas.DataFrame(SPLT), "application_name")
  assert flows.classes.tolist() == [0, -1] and flows.packets.counts.tolist() == [3, 1]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"splt_ps": None}, "has no column splt_ps"),
    ({"splt_direction": [[0, 2, 0, -1], [0]]}, "splt_direction, splt_ps, splt_piat_ms"),
    (
      {"splt_direction": [[0, 2, 0, -1], [0, -1, -1, -1]]},
      "row 1: splt_direction must be 0, 1 or -1",
    ),
    (
      {"splt_direction": [[0, 1, 0, -1], [0, -1, 1, -1]]},
      "row 2: splt_direction has a packet after padding",
    ),
    (
      {"splt_ps": [[38, -5, 28, -1], [40, -1, -1, -1]]},
      "row 1: splt_ps has an impossible",
    ),
    (
      {"splt_ps": [[38, 1e99, 8, -1], [40, -1, -1, -1]]},
      "row 1: splt_ps has an impossible",
    ),
    (
      {"splt_piat_ms": [[0, float("nan"), 28, -1], [0, -1, -1, -1]]},
      "row 1: splt_piat_ms has an impossible time",
    ),
    ({"splt_ps": ["[38", "[40]"]}, r"row 1: splt_ps is \[38, must be lists of numbers"),
    ({"splt_ps": [[[38]], [[40]]]}, "row 1: splt_ps is"),
    (
      {"bidirectional_packets": [5, -1]},
      "row 2: bidirectional_packets must be a number",
    ),
    ({"bidirectional_bytes": ["x", 1]}, "bidirectional_bytes must be numbers"),
    ({"bidirectional_packets": [2, 1]}, "num_packets is 2, but must be at least"),
  ],
)
def test_what_cannot_be_is_named(changes, message):
  table = {name: cells for name, cells in (SPLT | changes).items() if cells is not None}
  with pytest.raises(InputError, match=f"NFStream: .*{message}") as error:
    splt.of_nfstream(table)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  "cell",
  [
    "[[0], [1]]",
    "[[0], [3], [90]]",
    "[[0, 1], [1], [90]]",
    "{}",
    "[" * 9999,
    None,
    "7",
  ],
)
def test_a_ppi_that_cannot_be_is_named(cell):
  with pytest.raises(InputError, match="PPI: row 2: PPI "):
    splt.of_ppi(PPI | {"PPI": [PPI["PPI"][0], cell]})


def test_a_table_without_flows():
  flows = splt.of_nfstream({name: [] for name in SPLT}, "application_name")
  assert len(flows) == 0
