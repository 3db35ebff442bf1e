"""NFStream and we read one capture alike, but for what differs by rule."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mtl_traffic.data import captures, splt
from mtl_traffic.errors import InputError
from mtl_traffic.flows import concatenate
from mtl_traffic.serving import checkpoints
from mtl_traffic.serving.predictor import load_model
from tests.data.capture_files import ACK, ETHERNET, FIN, SECOND, SYN, ip_packet, pcap
from tests.serving.model_maker import make_model

pytest.importorskip("nfstream", reason="the extra nfstream brings it")
ROOT = pathlib.Path(__file__).parents[2]
K, BEGIN = 6, 1_700_000_000 * SECOND
FRAME = bytes.fromhex("0200000000020200000000010800")

# NFStream forks its meters, which does not go with JAX in this process.
READ = """
import sys, nfstream
capture, out, mode = sys.argv[1:]
nfstream.NFStreamer(
  capture, splt_analysis=6, n_dissections=0, n_meters=1, accounting_mode=int(mode)
).to_csv(out)
"""
ANSWER = """
import json, sys, nfstream
from mtl_traffic.serving.nfstream_plugin import Answers
capture, model = sys.argv[1:]
flows = nfstream.NFStreamer(
  capture, n_dissections=0, n_meters=1, udps=Answers(model, threshold=0.3)
)
for flow in flows:
  print(json.dumps({"port": flow.src_port, **vars(flow.udps)}))
"""


def run(program, *arguments):
  done = subprocess.run(
    [sys.executable, "-c", program, *map(str, arguments)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def packets_of(port, seconds, flags=None):
  """Packets of a flow, every third of them from the server; of TCP with flags."""
  client = {"source_port": port}
  server = {
    "source": "10.0.0.2",
    "source_port": 80,
    "target": "10.0.0.1",
    "target_port": port,
  }
  for i, second in enumerate(seconds):
    of_packet = {"flags": flags[i]} if flags else {}
    payload = {"payload": 7 * i + port}
    yield (
      BEGIN + round(second * SECOND),
      FRAME + ip_packet(**(server if i % 3 == 1 else client), **of_packet, **payload),
    )


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
  path = tmp_path_factory.mktemp("captures") / "a.pcap"
  flags = [SYN, SYN | ACK, ACK, ACK, ACK, ACK, FIN | ACK, FIN | ACK]
  packets = [
    *packets_of(1, (0, 0.0304, 0.05, 1.2, 3, 3.0009, 4)),
    *packets_of(2, (0.2, 0.9)),
    *packets_of(3, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), flags),
    *packets_of(4, (5, 25)),  # Twenty seconds of silence.
  ]
  path.write_bytes(pcap(sorted(packets), link_type=ETHERNET, nano=True))
  return path


def read(capture, **rules):
  """Our flows, their clients' ports, and when they start."""
  rules = captures.Rules(max_packets=K, **rules)
  found = list(captures.read_flows(capture, captures.Accounts(), rules))
  return (
    concatenate([each.flows for each in found]),
    np.concatenate([each.client_ports for each in found]),
    np.concatenate([each.start_times for each in found]),
  )


def ours(capture, clients, **rules):
  """Our flows of some clients, in their order, with NFStream's times in whole ms."""
  flows, ports, starts = read(capture, **rules)
  rows = [int(np.flatnonzero(ports == port)[0]) for port in clients]
  flows, starts = flows[rows], starts[rows, None]
  stamps = starts + np.round(flows.packets.times * SECOND).astype(np.int64)
  times = np.where(flows.packets.there, stamps // 10**6 - starts // 10**6, 0) / 1000
  return flows.replace(packets=flows.packets.replace(times=times))


@pytest.mark.parametrize(("mode", "payload_lengths"), [(1, False), (3, True)])
def test_flows_are_ours_up_to_a_millisecond(capture, tmp_path, mode, payload_lengths):
  run(READ, capture, tmp_path / "flows.csv", mode)
  table = splt.read_csv(tmp_path / "flows.csv")
  theirs = splt.of_nfstream(table)
  ports = table["src_port"]
  assert sorted(ports) == [1, 2, 3, 4]
  same = [ports.index(port) for port in (1, 2, 3)]
  theirs = theirs[same]
  expected = ours(capture, (1, 2, 3), payload_lengths=payload_lengths)
  for name in ("directions", "lengths", "counts"):
    np.testing.assert_array_equal(
      getattr(theirs.packets, name), getattr(expected.packets, name)
    )
  np.testing.assert_allclose(theirs.packets.times, expected.packets.times, atol=1e-9)
  np.testing.assert_array_equal(theirs.num_packets, expected.num_packets)
  np.testing.assert_array_equal(theirs.num_bytes, expected.num_bytes)
  np.testing.assert_allclose(theirs.durations, expected.durations, atol=1e-3)


def test_where_the_meters_differ_by_rule(capture, tmp_path):
  run(READ, capture, tmp_path / "flows.csv", 1)
  table = splt.read_csv(tmp_path / "flows.csv")
  # We end a UDP flow after 15 s of silence, NFStream after 120 s.
  silent = table["src_port"].index(4)
  assert table["bidirectional_packets"][silent] == 2
  flows, ports, _ = read(capture)
  assert flows.num_packets[ports == 4].tolist() == [1, 1]
  # Or later, if we are told so.
  flows, ports, _ = read(capture, udp_silence_s=120)
  assert flows.num_packets[ports == 4].tolist() == [2]


def test_the_plugin_gives_the_answers_of_the_model(capture, tmp_path):
  checkpoints.save(tmp_path / "model", *make_model(k=K, min_packets=3))
  text = run(ANSWER, capture, tmp_path / "model")
  flows = {flow["port"]: flow for flow in map(json.loads, text.splitlines())}
  assert flows.keys() == {1, 2, 3, 4}
  predictor = load_model(tmp_path / "model")
  answers = predictor(ours(capture, (1, 2, 3)))
  for row, (port, seen) in enumerate(((1, 6), (2, 2), (3, 6))):
    flow = flows[port]
    assert flow["mtl_packets"] == seen
    for task in predictor.tasks:
      confidence = answers.confidences(task)[row]
      assert flow[f"mtl_{task}_probability"] == pytest.approx(confidence, abs=1e-4)
      certainty = answers.certainties(task)[row]
      assert flow[f"mtl_{task}_certainty"] == pytest.approx(certainty, abs=1e-4)
      if seen == 2:
        expected = ("unknown", "too few packets")
      elif answers.certainties(task)[row] < 0.3:
        expected = ("unknown", "too improbable")
      else:
        expected = (predictor.names[task][answers.labels(task)[row]], None)
      given = (flow[f"mtl_{task}"], flow[f"mtl_{task}_unknown_because"])
      assert given == expected


def test_the_plugin_needs_a_model(tmp_path):
  from mtl_traffic.serving.nfstream_plugin import Answers

  with pytest.raises(InputError, match="holds no trained model"):
    Answers(tmp_path)
