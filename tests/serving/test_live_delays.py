"""On an interface, the delay from a flow's packet to its answer is counted."""

import io

import numpy as np
import pytest

from mtl_traffic.data.captures import Accounts, Rules
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.serving import live
from mtl_traffic.serving.tally import Tally
from mtl_traffic.serving.writer import Writer
from tests.data.capture_files import SECOND, ip_packet, pcap
from tests.serving.test_live_flood import _File, _Predictor

RULES = Rules(reorder_s=0)


def run(clock):
  packets = [
    *((n * SECOND, ip_packet(source_port=1)) for n in range(4)),
    *((n * SECOND // 2, ip_packet(source_port=2)) for n in range(4)),
    (0, ip_packet(source_port=3)),  # Never comes to its fourth packet.
  ]
  accounts, tally = Accounts(), Tally()
  writer = Writer(_File(), tally, (4,), clock)
  answering = live.Answering(_Predictor(), writer.write, tally, points=(4,))
  batches = read_packets(io.BytesIO(pcap(sorted(packets), nano=True)), "c", accounts)
  opened = [
    tally.num_open
    for _ in live.read(answering, batches, "c", accounts, RULES, live=True, clock=clock)
  ]
  return tally, opened


def test_delays_are_those_from_the_packet_that_brought_the_answer():
  tally, opened = run(lambda: 3 * SECOND + SECOND // 4)
  # 0.25 s after the one's fourth packet, 1.75 s after the other's.
  assert tally.sum_of_delays == pytest.approx(2.0)
  assert np.flatnonzero(tally.delays).tolist() == [8, 10] and tally.delays.sum() == 2
  assert max(opened) == 3 and opened[-1] == 0
  assert tally.num_answers == 3


def test_where_no_clock_is_known_none_is_counted():
  tally, _ = run(None)
  assert tally.delays.sum() == 0 and tally.num_answers == 3
