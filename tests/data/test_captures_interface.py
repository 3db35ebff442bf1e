"""Tests of `mtl_traffic.data.captures.interface`, on the loopback interface."""

import socket

import pytest

from mtl_traffic.data.captures import Accounts
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.interface import read_interface
from mtl_traffic.errors import InputError


def test_packets_of_loopback_come_once():
  accounts = Accounts()
  batches = read_interface("lo", accounts, patience_s=0.01)
  try:
    next(batches)  # Empty, or what others send.
  except InputError as error:
    pytest.skip(str(error))
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.bind(("127.0.0.1", 0))
    port = sender.getsockname()[1]
    for size in (10, 600):
      sender.sendto(bytes(size), ("127.0.0.1", 9))
  lengths, decoder = [], Decoder(accounts)
  for _ in range(100):
    raw = next(batches)
    if len(raw.times):
      packets = decoder.decode(raw)
      ports = (packets.keys[:, 4] >> 32 & 0xFFFF, packets.keys[:, 4] >> 16 & 0xFFFF)
      ours = ((ports[0] == 9) & (ports[1] == port)) | (
        (ports[0] == port) & (ports[1] == 9)
      )
      lengths += packets.lengths[ours].tolist()
    if len(lengths) == 2:
      break
  batches.close()
  assert lengths == [38, 628]


def test_an_interface_that_is_not_there_raises():
  with pytest.raises(InputError, match="none0: "):
    next(read_interface("none0", Accounts()))
