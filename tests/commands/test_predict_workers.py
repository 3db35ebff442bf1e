"""Tests of `mtl-traffic predict --workers` on a pipe and on an interface."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from mtl_traffic.serving import checkpoints
from tests.commands.test_predict import (  # noqa: F401
  DATAGRAMS,
  await_lines,
  command,
  lines,
  network,
)
from tests.data.capture_files import SECOND, ip_packet, pcap
from tests.serving.model_maker import make_model

ROOT = pathlib.Path(__file__).parents[2]
K, NUM_FLOWS = 8, 20


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  path = tmp_path_factory.mktemp("model")
  checkpoints.save(path, *make_model(k=K))
  return path


def workers_of(process):
  """The process ids of a process's workers."""
  children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
  return [
    int(child)
    for child in children.read_text().split()
    if b"spawn_main" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes()
  ]


def counted(summary, what):
  return int(re.search(rf"^ *{what}: (\d+)", summary, re.MULTILINE)[1])


def test_a_pipe_is_dealt_out_and_sigterm_to_all_leaves_whole_lines(model, tmp_path):
  out = tmp_path / "answers.jsonl"
  packets = [
    (n * SECOND // 100 + flow, ip_packet(source_port=1 + flow, payload=n))
    for n in range(K + 3)
    for flow in range(NUM_FLOWS)
  ]
  process = subprocess.Popen(
    command(model, out, "--captures=-", "--workers=2"),
    cwd=ROOT,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    start_new_session=True,
  )
  process.stdin.write(pcap(packets, nano=True))
  process.stdin.flush()
  await_lines(out, NUM_FLOWS)
  # Sent to the workers too, as a terminal or systemd does.
  os.killpg(process.pid, signal.SIGTERM)
  summary, errors = process.communicate(timeout=120)
  assert process.returncode == 130, errors
  assert errors.endswith(b"error: interrupted; the answers so far are written\n")
  assert b"Traceback" not in errors
  rows = lines(out)
  assert {row["client_port"] for row in rows} == set(range(1, NUM_FLOWS + 1))
  assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
  assert all(row["packets"] == K and row["revision"] == 1 for row in rows)
  summary = summary.decode()
  assert counted(summary, "packets") == len(packets)
  waiting = re.search(r"skipped, still to be put in order[^:]*: (\d+)", summary)
  num_waiting = int(waiting[1]) if waiting else 0
  assert counted(summary, "in flows") + num_waiting == len(packets)
  assert f"wrote {NUM_FLOWS} answers" in summary


def test_an_interface_is_shared_and_a_worker_that_dies_is_named(
  model,
  tmp_path,
  network,  # noqa: F811
):
  out = tmp_path / "answers.jsonl"
  process = network(
    command(model, out, "--interface=v1", "--workers=2"),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  sender = network(
    [sys.executable, "-c", DATAGRAMS.format(address="10.9.0.2")],
    stdout=subprocess.DEVNULL,
  )
  await_lines(out, 1)
  (row,) = lines(out)
  assert re.fullmatch(r"v1/[12]#\d+", row["flow"]) and row["packets"] == K
  of_flow = int(row["flow"][3])  # The other worker gets no packets.
  pids = workers_of(process)
  assert len(pids) == 2
  os.kill(pids[of_flow - 1], signal.SIGKILL)
  time.sleep(1)
  assert process.poll() is None and sender.poll() is None
  process.send_signal(signal.SIGINT)
  summary, errors = process.communicate(timeout=120)
  assert process.returncode in (3, 130), errors  # 3: packets were lost.
  (told,) = [line for line in errors.splitlines() if " died (" in line]
  expected = f"error: worker {of_flow} of 2 died (SIGKILL); 1 flows that were open"
  assert told.startswith(expected)
  assert "error: interrupted" in errors and "Traceback" not in errors
  assert len(lines(out)) == 1
  # The sender sent 50 packets/s, which nobody read from then on.
  skipped = counted(summary, "skipped, of a worker that died")
  assert skipped >= 10
  total = counted(summary, "packets")
  assert total == counted(summary, "in flows") + skipped
