"""Tests of `mtl-traffic evaluate`, end to end, and of predict on labelled captures."""

import csv
import json
import pathlib
import subprocess
import sys

import pytest
from sklearn import metrics

from mtl_traffic.commands import cli
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError
from mtl_traffic.serving import checkpoints, judgement
from tests.commands.test_predict import capture, packets
from tests.serving.model_maker import make_model

ROOT = pathlib.Path(__file__).parents[2]
K = 8
NAMES = ("<script>alert(1)</script>", 'a, "b" | c', "測試" * 100)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  """An ensemble trained on prefixes, whose classes have odd names."""
  path = tmp_path_factory.mktemp("model")
  made = make_model(
    k=K, num_members=2, shortest_prefix=3, min_packets=3, class_names=NAMES
  )
  checkpoints.save(path, *made)
  return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
  """Captures, and labels for all but the last of them."""
  folder = tmp_path_factory.mktemp("captures")
  for i in range(6):
    flows = [packets(10 * i + n, (2, 5, 20)[n], n) for n in range(3)]
    (folder / f"x{'abcdef'[i]}.pcap").write_bytes(capture(*flows))
  table = folder.parent / f"{folder.name}.csv"
  with table.open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["capture", "label"])
    for letter, name in zip("abcdeg", (*NAMES, NAMES[0], "new", "new"), strict=True):
      writer.writerow([f"x{letter}.pcap", name])
  return folder, table


def run(command, *options):
  return subprocess.run(
    [sys.executable, "-m", "mtl_traffic", command, *map(str, options)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )


def test_it_is_what_predict_answers(model, labelled, tmp_path):
  folder, table = labelled
  options = (
    *(f"--model={model}", f"--captures={folder}", f"--labels={table}"),
    *("--each_capture_alone", "--packets=3,8", "--threshold=0.3"),
  )
  done = run("evaluate", *options, f"--workdir={tmp_path / 'w'}")
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / "w/evaluation.json").read_text())
  answered = run("predict", *options, f"--out={tmp_path / 'a.csv'}", "--evaluate")
  assert answered.returncode == 0, answered.stderr
  with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
    rows = [row for row in csv.DictReader(file) if row["event"] == "end"]
  assert len(rows) == 18
  rows = [row for row in rows if row["true_class"]]
  truth = [row["true_class"] for row in rows]
  answers = [row["class"] for row in rows]
  assert found["num_flows"] == len(rows) == 15
  assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, answers))
  f1 = metrics.f1_score(
    truth,
    answers,
    labels=sorted({*truth, *answers} - {"unknown"}),
    average="macro",
    zero_division=0,
  )
  assert found["macro_f1"] == pytest.approx(f1)
  reasons = [row["class_unknown_because"] for row in rows]
  assert found["unknown"] == {
    name: reasons.count(name) for name in judgement.REASON_NAMES.values()
  }
  # A third of the flows has two packets, and the model needs three.
  assert found["unknown"]["too few packets"] == 5
  for row, why in zip(rows, reasons, strict=True):
    assert (row["class"] == "unknown") == (why != "")
    assert (row["packets"] == "2") == (why == "too few packets")
  right = sum(t == a for t, a in zip(truth, answers, strict=True))
  assert f"class: accuracy {100 * right / 15:.1f} % on 15 labelled flows" in (
    answered.stdout
  )
  assert "| unknown: too few packets " in answered.stdout
  assert found["classes_unknown_to_model"] == {"new": 3}
  assert found["captures"]["number"] == found["num_resampled"] == 5
  # Both commands log the notices, and the report contains them.
  for stderr in (done.stderr, answered.stderr):
    assert "captures in this file that were not read: 1, such as xg.pcap\n" in stderr
  notices = " ".join(found["notices"])
  assert "3 of 18 flows have no label and are left out; they are in xf.pcap" in notices
  assert "does not know these classes; their flows count as errors: new" in notices
  page = (tmp_path / "w/report.html").read_text()
  assert "<script" not in page and "&lt;script" in page
  again = run("evaluate", *options, f"--workdir={tmp_path / 'w'}")
  assert again.returncode == 1
  assert "holds evaluation.json already; take another directory" in again.stderr
  assert len(again.stderr.splitlines()) == 1


def test_a_dataset_is_evaluated_as_the_captures_that_it_was_made_of(
  model, labelled, tmp_path
):
  folder, table = labelled
  flows = tmp_path / "flows.parquet"
  options = (f"--captures={folder}", f"--labels={table}", "--each_capture_alone")
  assert run("extract-flows", *options, f"--out={flows}").returncode == 0
  found = []
  for name, source in (("a", options), ("b", (f"--dataset={flows}",))):
    workdir = f"--workdir={tmp_path / name}"
    done = run("evaluate", f"--model={model}", *source, workdir, "--seed=3")
    assert done.returncode == 0, done.stderr
    one = json.loads((tmp_path / name / "evaluation.json").read_text())
    assert one.pop("tested_on") and one.pop("notices")
    found.append(one)
  assert found[0] == found[1] and found[0]["clients"]["number"] == 5


def test_flows_without_captures_are_drawn_one_by_one(flows, model, tmp_path):
  named = flows.replace(class_names=NAMES)
  parquet.write(named, tmp_path / "f.parquet", {"payload_lengths": True})
  done = run(
    "evaluate",
    *(f"--model={model}", f"--dataset={tmp_path / 'f.parquet'}"),
    f"--workdir={tmp_path / 'w'}",
  )
  assert done.returncode == 0, done.stderr
  assert "payload_lengths = True" in done.stderr
  found = json.loads((tmp_path / "w/evaluation.json").read_text())
  assert found["resampled"] == "flows" and found["num_resampled"] == 90
  assert found["capture_accuracy"] is None and found["intervals"]["accuracy"]
  assert "the intervals are too narrow" in (tmp_path / "w/report.md").read_text()


def test_all_that_is_wrong_is_told_in_one_line(tmp_path):
  (tmp_path / "report.md").touch()
  done = run(
    "evaluate",
    *("--model=/nowhere", "--captures=/no.pcap", "--labels=/no.csv"),
    f"--workdir={tmp_path}",
  )
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  for problem in (
    f"{tmp_path}: holds report.md already",
    "--captures: /no.pcap: no such file",
    "--labels: /no.csv: ",
    "/nowhere: holds no trained model",
  ):
    assert problem in line


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ([], "--model is missing: the directory that mtl-traffic train wrote; --workdir"),
    (["--model={m}", "--workdir={w}"], "give either --captures and --labels, or"),
    (["--model={m}", "--workdir={w}", "--captures={c}"], "--labels is missing"),
    (
      ["--model={m}", "--workdir={w}", "--dataset=simulated", "--udp_silence_s=3"],
      "--udp_silence_s: only for --captures",
    ),
    (
      ["--model={m}", "--workdir={w}", "--captures={c}", "--labels={other}"],
      "no label matches any of the 18 flows",
    ),
  ],
)
def test_what_cannot_be_gets_one_line(model, labelled, tmp_path, options, message):
  other = tmp_path / "other.csv"
  other.write_text("capture,label\nz.pcap,a\n")
  names = {"m": model, "w": tmp_path / "w", "c": labelled[0], "other": other}
  done = run("evaluate", *(option.format(**names) for option in options))
  assert done.returncode == 1
  line = done.stderr.splitlines()[-1]
  assert line.startswith("error: ") and message in line
  assert not (tmp_path / "w/evaluation.json").exists()


def test_problems_are_told_together():
  problems = cli.Problems()

  def fail(text):
    raise InputError(text)

  problems.tell()
  assert problems.of(lambda: 7) == 7
  assert problems.of(lambda: fail("one")) is None
  with problems:
    fail("two")
  with pytest.raises(InputError, match=r"^one; two$"):
    problems.tell()
  with pytest.raises(ZeroDivisionError), problems:
    _ = 1 / 0
