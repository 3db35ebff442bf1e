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
