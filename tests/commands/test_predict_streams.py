"""Tests of `mtl-traffic predict`: standard output, several files, pauses of flows."""

import json
import pathlib
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from mtl_traffic.data import captures
from mtl_traffic.serving import checkpoints
from mtl_traffic.serving.predictor import load_model
from tests.data.capture_files import SECOND, ip_packet, pcap
from tests.serving.model_maker import make_model

ROOT = pathlib.Path(__file__).parents[2]
K = 8
# Times of packets in seconds, by client port.
FLOWS = {
  1: (0, 0.5, 1, 8, 9, 15.5, 16, 17, 18),  # Pauses after 3 and after 5 packets.
  2: (0.1, 0.2, 0.3, 0.4),  # Pauses after 4 packets, then ends.
  3: (2,),  # A flow of one packet is not answered early.
  4: (3, 4, 5, 6, 7, 8, 9, 10),  # Never pauses before k packets.
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  path = tmp_path_factory.mktemp("model")
  checkpoints.save(path, *make_model(k=K))
  return path


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
  path = tmp_path_factory.mktemp("captures") / "a.pcap"
  packets = [
    (round(seconds * SECOND), ip_packet(source_port=port, payload=50 * port + i))
    for port, times in FLOWS.items()
    for i, seconds in enumerate(times)
  ]
  path.write_bytes(pcap(sorted(packets), nano=True))
  return path


def run(model, *options):
  return subprocess.run(
    [sys.executable, "-m", "mtl_traffic", "predict", f"--model={model}", *options],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )


def parse(text):
  assert not text or text.endswith("\n")
  return list(map(json.loads, text.splitlines()))


def test_standard_output_has_answers_that_fit_the_schema_and_nothing_else(
  model, capture, tmp_path
):
  other, labels = tmp_path / "a.parquet", tmp_path / "labels.csv"
  labels.write_text("capture,client_port,label\na.pcap,1,b\n")
  done = run(
    model,
    f"--captures={capture}",
    *("--out=-", f"--out={other}", "--evaluate", f"--labels={labels}"),
    "--answer_after_s=5",
  )
  assert done.returncode == 0, done.stderr
  rows = parse(done.stdout)
  assert len(rows) == 10 and rows[0].keys() == rows[-1].keys()
  assert "packets: 22" in done.stderr
  assert f"wrote 6 answers to standard output, {other}" in done.stderr
  table = pq.read_table(other)
  assert table["class"].to_pylist() == [row["class"] for row in rows]
  assert ["version", *table.column_names] == list(rows[0])
  jsonschema = pytest.importorskip("jsonschema", reason="the extra test brings it")
  schema = json.loads((ROOT / "docs/answers.schema.json").read_text())
  validator = jsonschema.Draft202012Validator(schema)
  validator.check_schema(schema)
  for row in rows:
    validator.validate(row)
    assert row.keys() <= schema["properties"].keys()
  with pytest.raises(jsonschema.ValidationError):
    validator.validate(rows[0] | {"event": "update"})


@pytest.mark.parametrize("options", [[], ["--evaluate"]])
def test_a_flow_that_pauses_is_answered_and_its_answer_improves(
  model, capture, options
):
  done = run(model, f"--captures={capture}", "--out=-", "--answer_after_s=5", *options)
  assert done.returncode == 0, done.stderr
  answers, ends = {}, {}
  for row in parse(done.stdout):
    of_event = {"answer": answers, "end": ends}[row["event"]]
    of_event.setdefault(row["client_port"], []).append(
      (row["revision"], row["packets"])
    )
  assert answers == {
    1: [(1, 3), (2, 5), (3, 8)],
    2: [(1, 4)],
    3: [(1, 1)],
    4: [(1, 8)],
  }
  last = {port: [given[-1]] for port, given in answers.items()}
  assert ends == (last if options else {})
  # The summary counts each flow once, with its last answer.
  table = [line.split("|")[1:4] for line in done.stderr.splitlines() if line[:1] == "|"]
  assert sum(int(count) for task, _, count in table if task.strip() == "class") == 4


def test_an_answer_at_a_pause_is_that_for_the_packets_until_then(model, capture):
  done = run(model, f"--captures={capture}", "--out=-", "--answer_after_s=5")
  rows = [row for row in parse(done.stdout) if row["client_port"] == 1]
  (flows,) = (
    captured.flows[captured.client_ports == 1]
    for captured in captures.read_flows(capture, captures.Accounts())
    if 1 in captured.client_ports
  )
  predictor = load_model(model)
  for row, seen in zip(rows, (3, 5, 8), strict=True):
    fields = vars(flows.packets)
    shown = {name: fields[name][:, :seen] for name in fields if name != "counts"}
    answers = predictor(
      flows.packets.replace(**shown, counts=fields["counts"] * 0 + seen)
    )
    (confidence,) = answers.confidences("class")
    assert row["class_probability"] == pytest.approx(confidence, abs=2e-6)
    (label,) = answers.labels("class")
    assert row["class"] == predictor.names["class"][label]
    assert row["time"] == f"1970-01-01T00:00:{FLOWS[1][seen - 1]:012.9f}Z"


def test_files_are_gone_on_with_and_full_ones_put_aside(model, capture, tmp_path):
  out = tmp_path / "a.csv"
  options = (f"--captures={capture}", f"--out={out}", "--rotate=1min")
  assert run(model, *options).returncode == 0
  refused = run(model, *options)
  assert refused.returncode == 1
  assert refused.stderr.startswith(f"error: --out: {out}: is there already")
  done = run(model, *options, "--append")
  assert done.returncode == 0, done.stderr
  header, *rows = out.read_text().splitlines()
  assert len(rows) == 8 and rows[:4] == rows[4:] and header not in rows
  done = run(model, *options[:2], "--append", "--rotate=0.5kB")
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "a.1.csv").read_text().splitlines()[:9] == [header, *rows]


def test_shards_part_the_answers(model, capture):
  def answers(*options):
    done = run(model, f"--captures={capture}", "--out=-", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr

  whole, _ = answers()
  parts = [answers(f"--shard={index}/2") for index in range(2)]
  assert sorted(line for lines, _ in parts for line in lines) == sorted(whole)
  assert any("skipped, of another shard: " in told for _, told in parts)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--out=-", "--rotate=1h"], "--rotate: no --out is a file"),
    (["--rotate=1 fortnight"], "--rotate: 1 fortnight: must be a time"),
    (["--shard=2/2"], "--shard: 2/2: must be I/N"),
    (["--out=-", "--out=-"], "--out: -: is given twice"),
    (["--answer_after_s=-1"], "--answer_after_s=-1"),
  ],
)
def test_what_cannot_be_is_told_in_one_line(options, message):
  done = run("/nowhere", "--captures=-", *options)
  assert done.returncode == 1 and not done.stdout
  (line,) = done.stderr.splitlines()
  assert line.startswith(f"error: {message}")
