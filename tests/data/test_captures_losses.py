"""Packets that an interface loses are counted while it is read."""

import socket

import pytest

from mtl_traffic.data.captures import Accounts
from mtl_traffic.data.captures.interface import read_interface
from mtl_traffic.errors import InputError

SENT = 4000


def test_what_finds_no_room_in_the_ring_is_counted():
  accounts = Accounts()
  # 16 blocks of 128 kB hold some thousands of these; each passes loopback twice.
  batches = read_interface("lo", accounts, patience_s=0.01, num_blocks=16)
  try:
    next(batches)
  except InputError as error:
    pytest.skip(str(error))
  before = accounts.num_packets
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for _ in range(SENT):
      sender.sendto(bytes(400), ("127.0.0.1", 9))
  while accounts.num_lost == 0 or len(next(batches).times):
    next(batches)
  assert accounts.num_lost > 0
  assert accounts.num_packets > before
  # Of loopback, one of two passings is not counted among the packets.
  assert 2 * accounts.num_packets + accounts.num_lost >= 2 * SENT
  assert "lost, beside these" in accounts.summary()
  total = Accounts(num_lost=1)
  total.add(accounts)
  assert total.num_lost == 1 + accounts.num_lost
  batches.close()
