"""Tests of how promptly packets of a pipe become flows, though they wait for others."""

import os
import threading
import time

from mtl_traffic.data.captures import Accounts
from mtl_traffic.data.captures.assembly import FlowAssembler, Rules
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.reading import read_packets
from tests.data import capture_files as files

PACKETS = [(i * files.SECOND // 1000, files.ip_packet(payload=i)) for i in range(5)]


def test_a_pipe_that_falls_silent_yields_an_empty_batch():
  reader, writer = os.pipe()
  with open(reader, "rb") as pipe, open(writer, "wb", buffering=0) as end:
    end.write(files.pcap(PACKETS))
    batches = read_packets(pipe, "pipe", Accounts(), live=True)
    assert len(next(batches).times) == 5
    begun = time.monotonic()
    assert len(next(batches).times) == 0
    assert time.monotonic() - begun < 2
    # It waits for packets then, rather than for time to pass.
    later = threading.Timer(0.2, lambda: end.write(files.pcap(PACKETS)[24:]))
    later.start()
    assert len(next(batches).times) == 5
    later.join()


def test_what_waits_to_be_put_in_order_is_handed_on_in_silence():
  accounts = Accounts()
  assembler = FlowAssembler("pipe", accounts, Rules(reorder_s=0.01))
  decoder = Decoder(accounts)
  reader, writer = os.pipe()
  with open(reader, "rb") as pipe, open(writer, "wb", buffering=0) as end:
    end.write(files.pcap(PACKETS))
    for raw in read_packets(pipe, "pipe", accounts, live=True):
      if len(raw.times):
        assembler.add(decoder.decode(raw))
        assert not list(assembler.reaching(5))
      else:
        assembler.flush()
        ((flow,),) = map(files.as_dicts, assembler.reaching(5))
        break
  assert flow["lengths"] == [28, 29, 30, 31, 32]


def test_packets_wait_no_longer_than_they_may_be_late():
  accounts = Accounts()
  assembler = FlowAssembler("pipe", accounts, Rules(reorder_s=0.0025))
  decoder = Decoder(accounts)
  seen = []
  reader, writer = os.pipe()
  with open(reader, "rb") as pipe, open(writer, "wb", buffering=0) as end:
    end.write(files.pcap(PACKETS[:1]))
    batches = read_packets(pipe, "pipe", accounts, live=True)
    for packet in PACKETS[1:]:
      assembler.add(decoder.decode(next(raw for raw in batches if len(raw.times))))
      seen.append(accounts.num_in_flows)
      end.write(files.pcap([packet])[24:])
    assembler.add(decoder.decode(next(raw for raw in batches if len(raw.times))))
    seen.append(accounts.num_in_flows)
  # Those 2.5 ms before the latest have their place.
  assert seen == [0, 0, 0, 1, 2]
