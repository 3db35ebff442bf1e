"""Tests of `mtl-traffic suggest-labels`."""

import csv
import subprocess
import sys

import pytest

from mtl_traffic.data import captures, parquet
from mtl_traffic.data.captures.extraction import extract
from mtl_traffic.data.captures.labels import Labels, read_labels
from tests.data import capture_files as files


def suggest(*arguments) -> subprocess.CompletedProcess:
  command = [sys.executable, "-m", "mtl_traffic", "suggest-labels"]
  return subprocess.run(
    [*command, *map(str, arguments)], capture_output=True, text=True, check=False
  )


@pytest.fixture
def capture(tmp_path):
  """Twelve UDP flows: nine of 40 bytes a packet, and three of 900."""
  packets = [
    (i * files.SECOND, files.ip_packet(source_port=1 + i % 12, payload=size))
    for i in range(48)
    for size in [900 if i % 12 > 8 else 40]
  ]
  (tmp_path / "a.pcap").write_bytes(files.pcap(packets))
  return tmp_path / "a.pcap"


def extracted(capture, labels, name):
  out = capture.parent / name
  extract(captures.find([str(capture)]), out, labels)
  return out


def test_a_filled_in_suggestion_labels_those_flows_and_the_next_goes_on(capture):
  flows, out = extracted(capture, Labels(), "flows.parquet"), capture.parent / "a.csv"
  done = suggest(f"--dataset={flows}", "--number=2", f"--out={out}")
  assert done.returncode == 0, done.stderr
  assert "Wrote 2 flows to label" in done.stdout
  rows = list(csv.DictReader(out.open()))
  # First a flow of the larger group, then one of the other.
  assert [float(row["bytes"]) for row in rows] == [4 * 68, 4 * 928]
  assert float(rows[0]["stands_for_flows"]) > float(rows[1]["stands_for_flows"])
  for row, label in zip(rows, ("small", "large"), strict=True):
    row["label"] = label
  with out.open("w", newline="") as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)

  labelled = extracted(capture, read_labels(out), "labelled.parquet")
  found = parquet.read(labelled)
  names = {
    flow: found.class_names[of]
    for flow, of in zip(found.ids, found.classes, strict=True)
    if of >= 0
  }
  assert names == {row["flow"]: row["label"] for row in rows}

  done = suggest(f"--dataset={labelled}", "--number=99", f"--out={out}2.csv")
  assert "2 of 12 already have a label" in done.stdout
  others = {row["flow"] for row in csv.DictReader(open(f"{out}2.csv"))}
  assert others == set(found.ids) - set(names)


def test_files_that_know_no_addresses_are_told_by_flow(flows, tmp_path):
  parquet.write(flows.replace(classes=flows.classes * 0 - 1), tmp_path / "f.parquet")
  out = tmp_path / "out.csv"
  done = suggest(f"--dataset={tmp_path / 'f.parquet'}", "--number=3", f"--out={out}")
  assert done.returncode == 0, done.stderr
  rows = list(csv.DictReader(out.open()))
  assert "source" not in rows[0]
  assert len({row["flow"] for row in rows} & set(flows.ids)) == 3


def test_what_cannot_be_is_one_line(flows, tmp_path):
  path, out = tmp_path / "f.parquet", tmp_path / "out.csv"
  parquet.write(flows, path)
  done = suggest(f"--dataset={path}", f"--out={out}")
  assert done.returncode == 1
  assert done.stderr == f"error: {path}: every flow already has a label\n"
  out.write_text("mine")
  done = suggest(f"--dataset={path}", f"--out={out}")
  assert done.returncode == 1 and str(out) in done.stderr
  assert out.read_text() == "mine"
