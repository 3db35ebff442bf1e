"""Tests of `mtl-traffic predict`, on a pipe and on files."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from mtl_traffic.data import captures
from mtl_traffic.serving import checkpoints
from mtl_traffic.serving.predictor import load_model
from tests.data import capture_files as files
from tests.serving.model_maker import make_model

ROOT = pathlib.Path(__file__).parents[2]
K = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  path = tmp_path_factory.mktemp("model")
  checkpoints.save(path, *make_model(k=K))
  return path


def packets(port, count, start=0.0):
  """Packets of a UDP flow, (ns, bytes)."""
  rng = np.random.default_rng(port)
  gaps = rng.integers(1, files.SECOND, count)
  times = round(start * files.SECOND) + np.cumsum(gaps) - gaps[0]
  return [
    (int(t), files.ip_packet(source_port=port, payload=int(n)))
    for t, n in zip(times, rng.integers(0, 1200, count), strict=True)
  ]


def capture(*flows):
  return files.pcap(sorted(p for flow in flows for p in flow), nano=True)


def command(model, out, *options):
  return [
    *(sys.executable, "-m", "mtl_traffic", "predict"),
    *(f"--model={model}", f"--out={out}", *options),
  ]


def run(*arguments):
  return subprocess.run(
    command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=300
  )


def lines(path):
  text = path.read_text()
  assert not text or text.endswith("\n")
  return [json.loads(line) for line in text.splitlines()]


def await_lines(path, count):
  """Waits until a file has the given number of lines."""
  for _ in range(3000):
    if path.exists() and len(lines(path)) >= count:
      return
    time.sleep(0.05)
  raise AssertionError(f"{path} has no {count} lines after 150 s")


def test_answers_of_a_capture_are_those_for_the_same_flows_in_memory(model, tmp_path):
  path, out = tmp_path / "a.pcap", tmp_path / "answers.jsonl"
  path.write_bytes(capture(packets(1, 30), packets(2, K, 3), packets(3, 4, 5)))
  done = run(model, out, f"--captures={path}", "--evaluate")
  assert done.returncode == 0, done.stderr
  rows = lines(out)
  answers = {row["flow"]: row for row in rows if row["event"] == "answer"}
  ends = {row["flow"]: row for row in rows if row["event"] == "end"}
  (captured,) = captures.read_flows(path, captures.Accounts())
  expected = load_model(model)(captured.flows)
  predictor = load_model(model)
  assert list(ends) and answers.keys() == ends.keys() == set(captured.flows.ids)
  for i, flow in enumerate(captured.flows.ids):
    seen = min(int(captured.flows.num_packets[i]), K)
    assert answers[flow]["packets"] == seen
    after = (captured.flows.packets.times[i, seen - 1] * 1e9).round().astype(int)
    answered = np.datetime64(answers[flow]["time"].rstrip("Z"), "ns").astype(int)
    assert answered == captured.start_times[i] + after
    assert answers[flow]["client_port"] == captured.client_ports[i]
    for task in predictor.tasks:
      label = predictor.names[task][expected.labels(task)[i]]
      assert answers[flow][task] == ends[flow][task] == label
      assert answers[flow][f"{task}_probability"] == pytest.approx(
        expected.confidences(task)[i], abs=2e-6
      )
    # The model's dividers are 300 and 20,000 bytes/s for bandwidth, 2.5 s for duration.
    rate = captured.flows.num_bytes[i] / captured.flows.durations[i]
    true = predictor.names["bandwidth"][int(rate >= 300) + int(rate >= 2e4)]
    assert ends[flow]["true_bandwidth"] == true
    assert ends[flow]["flow_packets"] == captured.flows.num_packets[i]
  assert ": accuracy " in done.stdout and "packets: 42" in done.stdout


def test_lengths_are_those_that_the_model_was_trained_on(tmp_path):
  model, out, path = (tmp_path / name for name in ("model", "answers.jsonl", "a.pcap"))
  checkpoints.save(model, *make_model(k=K, rules={"payload_lengths": True}))
  path.write_bytes(capture(packets(1, 20)))
  done = run(model, out, f"--captures={path}", "--evaluate")
  assert done.returncode == 0, done.stderr
  (captured,) = captures.read_flows(
    path, captures.Accounts(), captures.Rules(payload_lengths=True)
  )
  answer, end = lines(out)
  assert end["flow_bytes"] == captured.flows.num_bytes[0]
  (confidence,) = load_model(model)(captured.flows).confidences("class")
  assert answer["class_probability"] == pytest.approx(confidence, abs=2e-6)


def test_on_a_pipe_answers_come_before_the_capture_ends(model, tmp_path):
  out = tmp_path / "answers.jsonl"
  content = capture(packets(1, 20))
  record = 16 + 28  # At least: the length of a packet's record.
  with subprocess.Popen(
    command(model, out, "--captures=-"), cwd=ROOT, stdin=subprocess.PIPE
  ) as process:
    process.stdin.write(content[:-record])
    process.stdin.flush()
    await_lines(out, 1)
    assert process.poll() is None
    process.stdin.write(content[-record:])
    process.stdin.close()
    assert process.wait(60) == 0
  (row,) = lines(out)
  assert row["packets"] == K and row["flow"] == "stdin#1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_what_was_answered(model, tmp_path, number):
  out = tmp_path / "answers.jsonl"
  with subprocess.Popen(
    command(model, out, "--captures=-"),
    cwd=ROOT,
    stdin=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=False,
  ) as process:
    process.stdin.write(capture(packets(1, 20)))
    process.stdin.flush()
    await_lines(out, 1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
  assert process.returncode == 130
  assert b"error: interrupted" in errors and b"Traceback" not in errors
  assert len(lines(out)) == 1


def test_a_capture_that_breaks_off_is_answered_and_told(model, tmp_path):
  path, out = tmp_path / "a.pcap", tmp_path / "answers.parquet"
  path.write_bytes(capture(packets(1, 20))[:-3])
  done = run(model, out, f"--captures={path}")
  assert done.returncode == 1
  assert "cut short inside a packet" in done.stderr.splitlines()[-1]
  assert pq.read_table(out)["packets"].to_pylist() == [K]


def test_what_is_not_probable_enough_is_unknown(model, tmp_path):
  path, out = tmp_path / "a.pcap", tmp_path / "answers.csv"
  path.write_bytes(capture(packets(1, 20)))
  done = run(model, out, f"--captures={path}", "--threshold=0.999999")
  assert done.returncode == 0, done.stderr
  header, row = out.read_text().splitlines()
  assert dict(zip(header.split(","), row.split(","), strict=True))["class"] == "unknown"


def test_a_model_of_prefixes_answers_again_and_again(tmp_path):
  model, out = tmp_path / "model", tmp_path / "answers.jsonl"
  checkpoints.save(model, *make_model(k=K, shortest_prefix=3))
  path = tmp_path / "a.pcap"
  path.write_bytes(capture(packets(1, 20), packets(2, 6, 1), packets(3, 5, 2)))
  done = run(model, out, f"--captures={path}", "--packets=3,5,8")
  assert done.returncode == 0, done.stderr
  seen = {}
  for row in lines(out):
    seen.setdefault(row["client_port"], []).append(row["packets"])
  assert seen == {1: [3, 5, 8], 2: [3, 5, 6], 3: [3, 5]}


def counted(stdout, task="class"):
  """The number of flows that the summary counts for a task."""
  rows = [line.split("|")[1:4] for line in stdout.splitlines() if line[:1] == "|"]
  return sum(int(row[2]) for row in rows if row[0].strip() == task)


@pytest.mark.parametrize("options", [[], ["--evaluate"]])
def test_a_flow_that_ends_where_an_answer_is_due_is_answered_once(tmp_path, options):
  model, out = tmp_path / "model", tmp_path / "answers.jsonl"
  checkpoints.save(model, *make_model(k=K, shortest_prefix=3))
  path = tmp_path / "a.pcap"
  path.write_bytes(
    capture(packets(1, 3), packets(2, 5, 1), packets(3, 4, 2), packets(4, 8, 3))
  )
  done = run(model, out, f"--captures={path}", "--packets=3,5,8", *options)
  assert done.returncode == 0, done.stderr
  seen, ends = {}, {}
  for row in lines(out):
    of_event = ends if row.get("event") == "end" else seen
    of_event.setdefault(row["client_port"], []).append(row["packets"])
  assert seen == {1: [3], 2: [3, 5], 3: [3, 4], 4: [3, 5, 8]}
  assert ends == ({1: [3], 2: [5], 3: [4], 4: [8]} if options else {})
  assert counted(done.stdout) == counted(done.stdout, "bandwidth") == 4
  assert "wrote 8 answers" in done.stdout


def test_a_model_without_bandwidth_and_duration(tmp_path):
  model, out = tmp_path / "model", tmp_path / "answers.csv"
  checkpoints.save(model, *make_model(k=K, method="single_task"))
  path, figure = tmp_path / "a.pcap", tmp_path / "figure.png"
  path.write_bytes(capture(packets(1, 20), packets(2, 4, 1)))
  done = run(model, out, f"--captures={path}", "--evaluate", f"--figure={figure}")
  assert done.returncode == 0, done.stderr
  assert counted(done.stdout) == 2 and figure.exists()
  header, *rows = out.read_text().splitlines()
  assert "class_probability" in header and "bandwidth" not in header
  assert len(rows) == 4  # One answer and one end per flow.


def test_flows_are_made_by_the_rules_of_the_model_or_of_flags(tmp_path):
  model, path = tmp_path / "model", tmp_path / "a.pcap"
  checkpoints.save(model, *make_model(k=K, rules={"udp_silence_s": 1.0}))
  # Two packets per flow, because two seconds of silence end it.
  times = [0, 0.5, 2.5, 3.0, 5.0, 5.5]
  path.write_bytes(
    files.pcap([(round(t * files.SECOND), files.ip_packet(payload=9)) for t in times])
  )
  done = run(model, tmp_path / "a.jsonl", f"--captures={path}")
  assert done.returncode == 0, done.stderr
  assert [row["packets"] for row in lines(tmp_path / "a.jsonl")] == [2, 2, 2]
  assert "the model was trained on" not in done.stderr
  flags = (f"--captures={path}", "--udp_silence_s=2.5")
  done = run(model, tmp_path / "b.jsonl", *flags)
  assert done.returncode == 0, done.stderr
  assert [row["packets"] for row in lines(tmp_path / "b.jsonl")] == [6]
  (warning,) = [line for line in done.stderr.splitlines() if "trained on" in line]
  assert "the model was trained on flows made with 1.0" in warning


def test_answers_that_are_there_are_not_overwritten(tmp_path):
  path, out = tmp_path / "a.pcap", tmp_path / "answers.jsonl"
  path.write_bytes(capture(packets(1, 20)))
  out.write_text("kept\n")
  # The error comes before the model is read.
  done = run("/nowhere", out, f"--captures={path}")
  assert done.returncode == 1
  assert done.stderr.startswith(f"error: --out: {out}: is there already")
  assert len(done.stderr.splitlines()) == 1
  assert out.read_text() == "kept\n"


def test_answers_go_to_pipes_and_nowhere(model, tmp_path):
  path, out = tmp_path / "a.pcap", tmp_path / "answers"
  path.write_bytes(capture(packets(1, 20)))
  assert run(model, "/dev/null", f"--captures={path}").returncode == 0
  os.mkfifo(out)
  with subprocess.Popen(
    command(model, out, f"--captures={path}"),
    cwd=ROOT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  ) as process:
    (row,) = map(json.loads, out.read_text().splitlines())
    assert process.wait(60) == 0
  assert row["packets"] == K


# Runs in the test's network namespace: datagrams, and a TCP connection to itself.
DATAGRAMS = """
import socket, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("", 5001))
while True:
  sender.sendto(bytes(100), ("{address}", 9))
  time.sleep(0.02)
"""
CONNECTION = """
import socket, time
server = socket.create_server(("127.0.0.1", 5002))
client = socket.create_connection(("127.0.0.1", 5002))
answerer, _ = server.accept()
while True:
  client.sendall(bytes(100))
  answerer.sendall(answerer.recv(100))
  client.recv(100)
  time.sleep(0.02)
"""


@pytest.fixture
def network():
  """Runs commands in a network namespace with a pair of interfaces, v0 and v1."""
  if not shutil.which("ip"):
    pytest.skip("iproute2 is not installed")
  name = f"mtl_traffic_{os.getpid()}"
  inside, processes = ["ip", "netns", "exec", name], []
  made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
  if made.returncode:
    pytest.skip(f"networks cannot be made: {made.stderr.strip()}")

  def start(arguments, **options):
    process = subprocess.Popen([*inside, *arguments], cwd=ROOT, **options)
    processes.append(process)
    return process

  try:
    for words in (
      "link set lo up",
      "link add v0 type veth peer name v1",
      "addr add 10.9.0.1/24 dev v0",
      "link set v0 up",
      "link set v1 up",
      # Set here, because nobody at the other end answers ARP.
      "neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v0",
    ):
      done = subprocess.run(
        ["ip", "-n", name, *words.split()], capture_output=True, text=True
      )
      if done.returncode:
        pytest.skip(f"ip {words}: {done.stderr.strip()}")
    yield start
  finally:
    for process in processes:
      if process.poll() is None:
        process.kill()
        process.wait()
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_on_an_interface_answers_come_while_traffic_flows(model, tmp_path, network):
  out = tmp_path / "answers.jsonl"
  traffic = [
    network([sys.executable, "-c", script])
    for script in (CONNECTION, DATAGRAMS.format(address="127.0.0.1"))
  ]
  process = network(
    command(model, out, "--interface=lo"), stderr=subprocess.PIPE, text=True
  )
  await_lines(out, 2)
  assert process.poll() is None and all(t.poll() is None for t in traffic)
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 130
  assert errors.splitlines()[-1] == "error: interrupted; the answers so far are written"
  assert "Traceback" not in errors
  answers = {row["protocol"]: row for row in lines(out)}
  assert answers["UDP"]["client_port"] == 5001 and answers["UDP"]["server_port"] == 9
  assert 5002 in (answers["TCP"]["server_port"], answers["TCP"]["client_port"])
  assert all(row["packets"] == K for row in answers.values())


def test_an_interface_that_goes_away_ends_the_run_with_one_line(
  model, tmp_path, network
):
  out = tmp_path / "answers.jsonl"
  sender = network([sys.executable, "-c", DATAGRAMS.format(address="10.9.0.2")])
  process = network(
    command(model, out, "--interface=v1"), stderr=subprocess.PIPE, text=True
  )
  await_lines(out, 1)
  sender.kill()  # A packet of the last moment would be lost, which is told instead.
  assert sender.wait(60) < 0
  assert network(["ip", "link", "del", "v0"]).wait(60) == 0
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 1
  assert [line for line in errors.splitlines() if "error" in line] == [
    errors.splitlines()[-1]
  ]
  assert errors.splitlines()[-1].startswith("error: v1: Network is down, after packet ")
  (row,) = lines(out)
  assert row["packets"] == K and row["client_address"] == "10.9.0.1"


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--captures=-", "--packets=5"], "the model answers after 8 packets, not 5"),
    (["--captures=-", "--packets=x"], "--packets=x: must be numbers"),
    (["--captures=-", "--out=answers.txt"], "must end in .csv, .jsonl, .parquet"),
    (["--captures=/nowhere.pcap"], "--captures: /nowhere.pcap: no such file"),
    ([], "give either --captures"),
    (["--interface=none0"], "none0: "),
    (["--captures=-", "--model=/nowhere"], "/nowhere: holds no trained model"),
  ],
)
def test_what_cannot_be_gets_one_line(model, tmp_path, options, message):
  done = run(model, tmp_path / "answers.csv", *options)
  assert done.returncode == 1
  assert message in done.stderr and done.stderr.startswith("error: ")
  assert len(done.stderr.splitlines()) == 1
