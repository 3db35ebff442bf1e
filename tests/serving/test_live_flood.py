"""A flood's flows cost no question to the model; those beside it get their answers."""

import io

import numpy as np

from mtl_traffic.data.captures import Accounts, Rules
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.serving import live
from mtl_traffic.serving.judgement import UNKNOWN_NAME
from mtl_traffic.serving.predictor import Answers, Predictor
from mtl_traffic.serving.tally import Tally
from mtl_traffic.serving.writer import Writer
from tests.data.capture_files import SYN, ip_packet, pcap


class _Predictor:
  """One class, and a count of the flows that it is asked about."""

  tasks = ("class",)
  names = {"class": ("a",)}  # noqa: RUF012
  fewest, num_asked = 1, 0
  judge = Predictor.judge

  def __call__(self, packets):
    num_flows = len(packets.counts)
    self.num_asked += num_flows
    return Answers({"class": np.ones((num_flows, 1), np.float32)}, self.names)


class _File(list):
  """Rows that were written, as dicts."""

  def write(self, rows):
    for values in zip(*rows.values(), strict=True):
      self.append(dict(zip(rows, values, strict=True)))


def test_flows_of_one_packet_that_are_pushed_out_are_unknown_unasked():
  packets = [
    (1000 * n, ip_packet(source=f"11.0.{n >> 8}.{n & 255}", flags=SYN))
    for n in range(1000)
  ]
  innocent = (0, 1, 200_000, 400_000)
  packets += [(time, ip_packet(source_port=5)) for time in innocent]
  content = pcap(sorted(packets), nano=True)
  accounts, predictor, file = Accounts(), _Predictor(), _File()
  tally = Tally()
  writer = Writer(file, tally, (4,))
  answering = live.Answering(predictor, writer.write, tally, points=(4,))
  batches = read_packets(io.BytesIO(content), "capture", accounts, 1 << 12)
  rules = Rules(max_open_flows=50)
  for _ in live.read(answering, batches, "capture", accounts, rules):
    pass
  assert len(file) == 1001
  unknown = [row for row in file if row["class"] == UNKNOWN_NAME]
  assert all(row["class_probability"] == 0 for row in unknown)
  assert {row["class_unknown_because"] for row in unknown} == {"too few packets"}
  assert len(unknown) >= 900 and predictor.num_asked == 1001 - len(unknown)
  (innocent,) = [row for row in file if row["client_port"] == 5]
  assert innocent["class"] == "a" and innocent["packets"] == 4
