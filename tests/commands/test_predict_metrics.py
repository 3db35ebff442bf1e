"""Tests of the metrics of `mtl-traffic predict --metrics_port`."""

import contextlib
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

from mtl_traffic.data.captures import Accounts
from mtl_traffic.serving import checkpoints, metrics
from mtl_traffic.serving.tally import DELAYS, Tally
from tests.commands.test_predict import lines, network  # noqa: F401
from tests.data.capture_files import SECOND, ip_packet, pcap
from tests.serving.model_maker import make_model

ROOT = pathlib.Path(__file__).parents[2]
K = 6


def free_port():
  with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    return listener.getsockname()[1]


def scrape(port):
  """The values of metrics, by name with labels."""
  with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
    return values_of(page.read().decode())


def values_of(text):
  parser = pytest.importorskip(
    "prometheus_client.parser", reason="the extra metrics brings it"
  )
  return {
    (sample.name.removeprefix("mtl_traffic_"), *sorted(sample.labels.values())): (
      sample.value
    )
    for family in parser.text_string_to_metric_families(text)
    for sample in family.samples
  }


def command(model, *options):
  return [
    *(sys.executable, "-m", "mtl_traffic", "predict", f"--model={model}"),
    *("--captures=-", "--out=-", *options),
  ]


def test_a_run_is_scraped_while_it_goes_on(tmp_path):
  pytest.importorskip("prometheus_client", reason="the extra metrics brings it")
  checkpoints.save(tmp_path, *make_model(k=K, data={"dataset": "mine"}))
  port = free_port()
  packets = [
    *((i * SECOND // 10, ip_packet(source_port=1, payload=i)) for i in range(K)),
    # A flow of two packets, which ends when the third packet arrives.
    *((i * SECOND // 10, ip_packet(source_port=2)) for i in range(2)),
    (30 * SECOND, ip_packet(source_port=3)),
    (31 * SECOND, b"\x00" * 20),  # No IP.
    (60 * SECOND, ip_packet(source_port=4)),
  ]
  process = subprocess.Popen(
    command(tmp_path, f"--metrics_port={port}", "--evaluate", "--threshold=0.9999"),
    cwd=ROOT,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )
  with process:
    process.stdin.write(pcap(sorted(packets), nano=True))
    process.stdin.flush()
    values = {}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and values.get(("answers_total",)) != 3:
      time.sleep(0.2)
      assert process.poll() is None
      try:
        values = scrape(port)
      except OSError:
        continue  # The server does not listen yet.
    process.stdin.close()
    assert process.wait(60) == 0, process.stderr.read()
  assert values["packets_read_total",] == K + 5
  assert values["packets_lost_total",] == 0
  assert [v for key, v in values.items() if key[0] == "packets_skipped_total"] == [1]
  # The last packet waits to be put in order, or has begun a flow.
  assert values["flows_open",] in (0, 1)
  assert values["packets_in_flows_total",] == K + 3 + values["flows_open",]
  assert values["flows_ended_total", "UDP", "silence"] == 3
  unknown = [
    value
    for key, value in values.items()
    if key[0] == "flows_answered_total" and "class" in key
  ]
  assert sum(unknown) == 3
  assert 0 < values["confidence_sum_total", "class", "too improbable", "unknown"] < 3
  evaluated = [
    value
    for key, value in values.items()
    if key[0] == "flows_evaluated_total" and "duration" in key
  ]
  assert sum(evaluated) == 3
  assert values["model_info", "6", "mine", "multitask"] == 1
  with pytest.raises(OSError):  # The server has stopped.
    scrape(port)


def settled(read, num_answers):
  """The metrics, once there are so many answers and nothing changes for a second."""
  values, num_same = {}, 0
  deadline = time.monotonic() + 120
  while time.monotonic() < deadline and num_same < 5:
    time.sleep(0.2)
    before = values
    with contextlib.suppress(OSError):  # The server may not listen yet.
      values = read()
    has_all = values.get(("answers_total",)) == num_answers
    num_same = num_same + 1 if has_all and values == before else 0
  assert num_same == 5, values
  return values


def test_workers_add_up_to_one_process_on_a_pipe(tmp_path):
  pytest.importorskip("prometheus_client", reason="the extra metrics brings it")
  # Flows of fewer than 4 packets are unknown.
  checkpoints.save(tmp_path, *make_model(k=K, min_packets=4))
  num_ended, num_open = 40, 7
  packets = [
    # 2 to 12 packets, so some flows end before packet K.
    *(
      (i * SECOND // 10, ip_packet(source_port=n, payload=37 * i * n % 1200))
      for n in range(1, num_ended + 1)
      for i in range(2 + n % 11)
    ),
    *((30 * SECOND + n, ip_packet(source_port=100 + n)) for n in range(num_open)),
    (31 * SECOND, b"\x00" * 20),  # No IP.
  ]
  found = []
  for workers in (1, 2):
    port = free_port()
    options = [f"--metrics_port={port}", f"--workers={workers}", "--evaluate"]
    with subprocess.Popen(
      command(tmp_path, *options),
      cwd=ROOT,
      stdin=subprocess.PIPE,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
    ) as process:
      process.stdin.write(pcap(sorted(packets), nano=True))
      process.stdin.flush()
      found.append(settled(lambda port=port: scrape(port), num_ended))
      process.stdin.close()
      assert process.wait(60) == 0, process.stderr.read()
  one, two = found
  assert two == pytest.approx(one)  # Sums are rounded in another order.
  assert two["packets_read_total",] == len(packets)
  assert two["packets_in_flows_total",] == len(packets) - 1
  assert two["flows_open",] == num_open
  assert two["flows_ended_total", "UDP", "silence"] == num_ended
  for task in ("class", "bandwidth", "duration"):
    answered = {
      key: value
      for key, value in two.items()
      if key[0] == "flows_answered_total" and task in key
    }
    assert sum(answered.values()) == num_ended
    unknown = [value for key, value in answered.items() if "unknown" in key]
    assert unknown == [sum(n % 11 < 2 for n in range(1, num_ended + 1))]


FRAMES = """
import socket, time
from tests.data.capture_files import ip_packet
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("v0", 0))
while True:
  for n in range({num_flows}):
    sender.send(bytes(12) + b"\\x08\\x00" + ip_packet(source=f"10.0.0.{{n}}"))
  time.sleep(0.05)
"""


def test_workers_count_the_delays_of_an_interface_together(
  tmp_path,
  network,  # noqa: F811
):
  pytest.importorskip("prometheus_client", reason="the extra metrics brings it")
  model, out, num_flows = tmp_path / "model", tmp_path / "answers.jsonl", 24
  checkpoints.save(model, *make_model(k=K))
  process = network(
    [
      *(sys.executable, "-m", "mtl_traffic", "predict", f"--model={model}"),
      *("--interface=v1", f"--out={out}", "--workers=2", "--metrics_port=9108"),
    ],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  sender = network([sys.executable, "-c", FRAMES.format(num_flows=num_flows)])

  def read():
    page = "http://127.0.0.1:9108/metrics"
    script = f"import urllib.request as r; print(r.urlopen({page!r}).read().decode())"
    inside = network(
      [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return values_of(inside.communicate(timeout=60)[0].decode())

  deadline = time.monotonic() + 120
  while time.monotonic() < deadline and read().get(("answers_total",)) != num_flows:
    assert process.poll() is None, process.stderr.read()
  sender.kill()
  values = settled(read, num_flows)
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate(timeout=60)
  assert process.returncode == 130, errors
  # Both workers answered.
  assert {row["flow"].split("#")[0] for row in lines(out)} == {"v1/1", "v1/2"}
  assert values["flows_open",] == num_flows
  assert values["answer_delay_seconds_bucket", "+Inf"] == num_flows
  assert values["answer_delay_seconds_count",] == num_flows
  assert 0 < values["answer_delay_seconds_sum",] < num_flows * 60
  skipped = [v for key, v in values.items() if key[0] == "packets_skipped_total"]
  in_flows = values["packets_in_flows_total",]
  assert in_flows >= num_flows * K
  assert values["packets_read_total",] == in_flows + sum(skipped)
  answered = [
    value
    for key, value in values.items()
    if key[0] == "flows_answered_total" and "class" in key
  ]
  assert sum(answered) == num_flows


def test_what_cannot_be_is_one_line(tmp_path):
  pytest.importorskip("prometheus_client", reason="the extra metrics brings it")
  checkpoints.save(tmp_path, *make_model(k=K))
  with socket.create_server(("127.0.0.1", 0)) as taken:
    done = subprocess.run(
      command(tmp_path, f"--metrics_port={taken.getsockname()[1]}"),
      cwd=ROOT,
      input=b"",
      capture_output=True,
    )
  assert done.returncode == 1 and not done.stdout
  assert done.stderr.startswith(b"error: --metrics_port: 127.0.0.1, port ")
  assert len(done.stderr.splitlines()) == 1


def test_without_the_extra_it_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "prometheus_client", None)
  with pytest.raises(ValueError, match=r"pip install 'mtl_traffic\[metrics\]'"):
    metrics.check()


def test_delays_are_counted_between_bounds():
  tally = Tally()
  tally.count_delays(np.array([0.0005, 0.001, 0.015, 99]))
  tally.count_delays(np.array([0.003]))
  assert tally.sum_of_delays == pytest.approx(99.0195)
  assert tally.delays.tolist() == [2, 0, 1, 0, 1, *[0] * 7, 1]
  assert len(tally.delays) == len(DELAYS) + 1


def test_the_dashboard_and_the_page_name_metrics_that_there_are():
  client = pytest.importorskip(
    "prometheus_client", reason="the extra metrics brings it"
  )
  tally, books = Tally(), Accounts()
  tally.answers["class", "a", None] = 1
  tally.probabilities["class", "a", None] = 0.5
  tally.evaluated["duration", True, True] = tally.labelled[True] = 1
  books.skipped["not IP"] = books.flows["UDP", "silence"] = 1
  registry = client.CollectorRegistry()
  registry.register(metrics._Collector(make_model()[0], [books], tally))
  text = client.generate_latest(registry).decode()
  there = set(re.findall(r"^(mtl_traffic_\w+)", text, re.MULTILINE))
  named = re.compile(r"mtl_traffic_\w*\w")
  docs = ROOT / "docs"
  shown = set(named.findall((docs / "grafana_dashboard.json").read_text()))
  assert len(shown) == 13 and shown <= there
  json.loads((docs / "grafana_dashboard.json").read_text())
  table = (docs / "metrics.md").read_text()
  listed = set(re.findall(r"^\| `(mtl_traffic_\w+)` \|", table, re.MULTILINE))
  assert listed <= {name.removesuffix("_bucket") for name in there}
  assert {
    name for name in there if not name.endswith(("_bucket", "_sum", "_count"))
  } <= (listed)
