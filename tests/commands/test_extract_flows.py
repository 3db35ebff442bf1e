"""Tests of `mtl-traffic extract-flows` and of what it calls."""

import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtl_traffic.data import captures, parquet
from mtl_traffic.data.captures.extraction import extract
from mtl_traffic.data.captures.labels import Labels, read_labels
from mtl_traffic.errors import InputError
from tests.data import capture_files as files


@pytest.fixture
def folder(tmp_path):
  """Two captures: three UDP flows, and one TCP flow."""
  udp = [
    (i * files.SECOND, files.ip_packet(source_port=1 + i % 3, payload=i))
    for i in range(12)
  ]
  tcp = [
    (0, files.ip_packet(flags=files.SYN)),
    (files.SECOND, files.ip_packet(flags=files.FIN | files.ACK)),
    (2 * files.SECOND, b"\0not IP"),
  ]
  (tmp_path / "a.pcap").write_bytes(files.pcap(udp))
  (tmp_path / "b.pcap").write_bytes(files.pcap(tcp))
  return tmp_path


def paths_in(folder):
  return captures.find([str(folder / "*.pcap")])


def test_flows_of_all_captures_in_the_curated_layout(folder):
  out = folder / "out" / "flows.parquet"
  (folder / "labels.csv").write_text("capture,label\na.pcap,call\n")
  labels = read_labels(folder / "labels.csv")
  accounts = extract(paths_in(folder), out, labels)
  flows = parquet.read(out)
  assert flows.ids.tolist() == ["a.pcap#1", "a.pcap#2", "a.pcap#3", "b.pcap#1"]
  assert flows.partition_names == ("a.pcap", "b.pcap")
  assert flows.class_names == ("call",) and flows.classes.tolist() == [0, 0, 0, -1]
  assert flows.num_packets.tolist() == [4, 4, 4, 2]
  assert flows.durations.tolist() == [9, 9, 9, 1]
  assert flows.packets.lengths[1].tolist() == [29, 32, 35, 38]
  table = pq.read_table(out)
  assert table["row_id"].to_pylist() == [0, 1, 2, 3]
  assert table["end_reason"].to_pylist() == ["end of capture"] * 3 + ["FIN"]
  assert table["protocol"].to_pylist() == ["UDP"] * 3 + ["TCP"]
  assert table["client_port"].to_pylist() == [1, 2, 3, 1000]
  assert (accounts.num_packets, accounts.num_in_flows) == (15, 14)
  assert dict(accounts.skipped) == {"not IP": 1}
  assert not [p for p in out.parent.iterdir() if p != out]


def test_number_of_processes_does_not_change_the_file(folder):
  tables = []
  for processes in (1, 2):
    out = folder / f"{processes}.parquet"
    accounts = extract(paths_in(folder), out, Labels(), processes=processes)
    tables.append((pq.read_table(out), accounts))
  assert tables[0][0].equals(tables[1][0])
  assert tables[0][1] == tables[1][1]


def test_command_line(folder):
  labels = folder / "labels.csv"
  labels.write_text("capture,label\na.pcap,call\n")
  command = [sys.executable, "-m", "mtl_traffic", "extract-flows"]
  run = subprocess.run(
    [
      *command,
      f"--captures={folder}/*.pcap",
      f"--labels={labels}",
      f"--out={folder}/f.parquet",
      "--processes=1",
    ],
    capture_output=True,
    text=True,
  )
  assert run.returncode == 0, run.stderr
  assert "packets: 15\n" in run.stdout
  assert "  skipped, not IP: 1\n" in run.stdout
  assert "  TCP, ended by FIN: 1\n" in run.stdout
  assert len(parquet.read(folder / "f.parquet")) == 4
  run = subprocess.run(
    [*command, f"--captures={folder}/none"], capture_output=True, text=True
  )
  assert run.returncode == 1
  assert run.stderr.strip() == f"error: --captures: {folder}/none: no such file"


def extract_flows(folder, *options):
  return subprocess.run(
    [
      *(sys.executable, "-m", "mtl_traffic", "extract-flows"),
      *(f"--captures={folder}/*.pcap", *options),
    ],
    capture_output=True,
    text=True,
  )


def test_a_runner_of_beam_says_and_writes_the_same(folder):
  pytest.importorskip("apache_beam", reason="the extra beam brings it")
  labels, out = folder / "labels.csv", folder / "f.parquet"
  labels.write_text("capture,label\na.pcap,call\nb.pcap,mail\n")
  options = (f"--labels={labels}", f"--out={out}", "--norst_ends")
  plain = extract_flows(folder, *options, "--processes=1")
  assert plain.returncode == 0, plain.stderr
  table = pq.read_table(out)
  out.unlink()
  run = extract_flows(folder, *options, "--runner=FnApiRunner")
  assert run.returncode == 0, run.stderr
  assert run.stdout == plain.stdout
  assert pq.read_table(out).equals(table)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--beam_options=a=1"], "--beam_options: goes with --runner, so give that too"),
    (
      ["--runner=FnApiRunner", "--processes=2"],
      "--processes: of this machine; the runner has workers of its own",
    ),
  ],
)
def test_flags_that_do_not_go_together(folder, options, message):
  run = extract_flows(folder, f"--out={folder}/f.parquet", *options)
  assert (run.returncode, run.stderr) == (1, f"error: {message}\n")


def test_without_beam_the_extra_is_named(folder):
  program = """
import sys
sys.modules["apache_beam"] = None
from mtl_traffic.commands.main import main
main(["extract-flows", *sys.argv[1:]])
"""
  run = subprocess.run(
    [
      *(sys.executable, "-c", program, "--runner=FnApiRunner"),
      *(f"--captures={folder}/*.pcap", f"--out={folder}/f.parquet"),
    ],
    capture_output=True,
    text=True,
  )
  assert (run.returncode, run.stderr) == (
    1,
    "error: --runner: Apache Beam is missing; "
    "pip install 'mtl_traffic[beam]' brings it\n",
  )


def test_a_file_that_is_there_is_left_alone(folder):
  out = folder / "f.parquet"
  out.write_text("a week of work")
  run = subprocess.run(
    [
      *(sys.executable, "-m", "mtl_traffic", "extract-flows"),
      *(f"--captures={folder}/*.pcap", f"--out={out}"),
    ],
    capture_output=True,
    text=True,
  )
  assert run.returncode == 1
  assert run.stderr == (
    f"error: --out: {out}: is there already; remove it, or give another file\n"
  )
  assert out.read_text() == "a week of work"


def test_what_became_of_the_labels_is_told(folder):
  labels = folder / "labels.csv"
  labels.write_text(
    "capture,address,source_port,label\n"
    "a.pcap,,,call\n,,2,mail\n,10.0.0.1,,one\n,10.0.0.2,,two\n,,,\nc.pcap,,,call\n"
    + "".join(f",10.1.0.{i},,never\n" for i in range(6))
  )
  labels.write_text(labels.read_text().replace("\n,,,\n", "\na.pcap,,,\n"))
  run = subprocess.run(
    [
      *(sys.executable, "-m", "mtl_traffic", "extract-flows"),
      *(f"--captures={folder}/*.pcap", f"--labels={labels}", "--processes=1"),
      f"--out={folder}/f.parquet",
    ],
    capture_output=True,
    text=True,
  )
  assert run.returncode == 0, run.stderr
  # All flows have both addresses. A row with port 2 is as specific as one with an
  # address.
  assert run.stdout.split("labelled: ")[1] == (
    "0 of 4 flows\n"
    "  call: 0\n  mail: 0\n  never: 0\n  one: 0\n  two: 0\n"
    f"  {labels}: lines 4 and 5 contradict each other; flows without a label because "
    "of this: 3\n"
    f"  {labels}: lines 3 and 5 contradict each other; flows without a label because "
    "of this: 1\n"
    f"  {labels}: rows without a label: 1\n"
    f"  {labels}: rows that match no flow, in lines: 8, 9, 10, 11, 12 and 1 more\n"
    f"  {labels}: captures in this file that were not read: 1, such as c.pcap\n"
    f"wrote {folder}/f.parquet\n"
  )


def test_the_file_remembers_what_made_its_flows(folder):
  out = folder / "f.parquet"
  run = subprocess.run(
    [
      *(sys.executable, "-m", "mtl_traffic", "extract-flows"),
      *(f"--captures={folder}/*.pcap", f"--out={out}", "--processes=1"),
      *("--udp_silence_s=2", "--tcp_idle_s=60", "--norst_ends", "--payload_lengths"),
      "--max_packets=5",
    ],
    capture_output=True,
    text=True,
  )
  assert run.returncode == 0, run.stderr
  # Three seconds of silence end a UDP flow, and bytes are those of the payload.
  flows = parquet.read(out)
  assert flows.num_packets.tolist() == [1] * 12 + [2]
  assert flows.num_bytes.tolist() == [*range(12), 0]
  assert parquet.read_rules(out) == {
    "payload_lengths": True,
    "udp_silence_s": 2.0,
    "tcp_idle_s": 60.0,
    "tcp_active_s": None,
    "rst_ends": False,
    "close_s": 15.0,
    "inner": False,
    "drop_copies": False,
  }


def test_a_file_that_is_no_capture_stops_before_anything_is_read(folder):
  (folder / "c.pcap").write_bytes(b"not a capture at all, but text")
  with pytest.raises(InputError, match=r"c\.pcap: not a pcap"):
    paths_in(folder)


def test_captures_without_flows_leave_no_file(folder):
  empty = folder / "empty.pcap"
  empty.write_bytes(files.pcap([]))
  with pytest.raises(InputError, match="no flows"):
    extract([empty], folder / "flows.parquet", Labels())
  assert not list(folder.glob("*.parquet*"))


def test_captures_of_one_name_raise(folder):
  (folder / "other").mkdir()
  (folder / "other" / "a.pcap").write_bytes(files.pcap([]))
  with pytest.raises(InputError, match="same name"):
    captures.find([str(folder / "a.pcap"), str(folder / "*" / "a.pcap")])


def test_labels_by_five_tuple_in_either_direction(folder):
  path = folder / "labels.csv"
  path.write_text(
    "capture,source,source_port,destination,destination_port,protocol,label\n"
    ",10.0.0.2,80,10.0.0.1,1,udp,web\n"
    "a.pcap,10.0.0.1,2,10.0.0.2,80,17,mail\n"
    "b.pcap,10.0.0.1,3,10.0.0.2,80,17,never\n"
    ",10.0.0.1,1000,10.0.0.2,80,udp,never\n"
    "a.pcap,,,,,,rest\n"
  )
  labels = read_labels(path)
  flows = [
    labels.apply(captured)
    for name in ("a.pcap", "b.pcap")
    for captured in captures.read_flows(folder / name, captures.Accounts())
  ]
  names = [
    [batch.class_names[c] if c >= 0 else None for c in batch.classes] for batch in flows
  ]
  assert names == [["web", "mail", "rest"], [None]]
  assert np.concatenate([batch.ids for batch in flows])[1] == "a.pcap#2"


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("name,label\n", "line 1: the columns are"),
    ("capture,label\na.pcap,\na.pcap,NaN\n", "holds no labels"),
    ("capture,label\n,x\n", "line 2: does not select any flows"),
    ("capture,label\na,x\na,y\n", "line 3: labelled 'y', but 'x' on line 2"),
    ("capture,label\n", "holds no labels"),
    (
      "source,source_port,destination,destination_port,protocol,label\n"
      "10.0.0.300,1,10.0.0.2,2,udp,x\n",
      "line 2: source is '10.0.0.300'",
    ),
    (
      "source,source_port,destination,destination_port,protocol,label\n"
      "10.0.0.3,1,10.0.0.2,2,icmp,x\n",
      "line 2: protocol is 'icmp'",
    ),
  ],
)
def test_labels_that_cannot_be_read_raise(tmp_path, content, message):
  path = tmp_path / "labels.csv"
  path.write_text(content)
  with pytest.raises(InputError, match=r"labels\.csv: ") as error:
    read_labels(path)
  assert message in str(error.value)
