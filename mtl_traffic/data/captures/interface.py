"""Packets of a network interface of this machine (Linux), as batches of a capture."""

import select
import socket
import struct
import time
from collections.abc import Iterator

import numpy as np

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.reading import RawPackets
from mtl_traffic.errors import InputError

_ALL_PROTOCOLS = 3  # ETH_P_ALL
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_RECEIVE_BUFFER = 1 << 23
_CAPTURED = 256  # Bytes kept of a packet: all headers that are read.
_PACKETS_AT_ONCE = 1 << 12
_ETHERNET, _RAW = 1, 101
# Kind of hardware → link type, as registered for pcap.
_LINK_TYPES = {1: _ETHERNET, 772: _ETHERNET, 65534: _RAW, 512: _RAW}
_LOOPBACK = 772


def read_interface(
  name: str, accounts: Accounts, patience_s: float = 1.0
) -> Iterator[RawPackets]:
  """Yields packets as they come, for ever; what is ready makes a batch.

  A packet's time is when it was received here. On a loopback interface, where each
  packet passes twice, it is taken once.

  Args:
    name: the interface, "eth0".
    accounts: where packets are counted. If the interface goes away or packets were
      lost, a warning says so.
    patience_s: after a silence of so long an empty batch is yielded.

  Raises:
    InputError: there is no such interface, or it may not be read.
  """
  listener = _listen(name)
  try:
    kind = listener.getsockname()[3]
    if kind not in _LINK_TYPES:
      raise InputError(f"{name}: an interface of unknown kind {kind}")
    while True:
      if select.select([listener], [], [], patience_s)[0]:
        yield _receive(listener, kind, accounts)
      else:
        yield _batch(bytearray(), [], [], kind, accounts)
  except OSError as error:
    accounts.warnings.append(
      f"{name}: {error.strerror}, after packet {accounts.num_packets}"
    )
  finally:
    lost = struct.unpack("II", listener.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[
      1
    ]
    listener.close()
    if lost:
      accounts.warnings.append(
        f"{name}: {lost} packets were lost, as they came faster than they were read"
      )


def _listen(name: str) -> socket.socket:
  if not hasattr(socket, "AF_PACKET"):
    raise InputError("--interface: only Linux has it; give captures on a pipe instead")
  try:
    listener = socket.socket(
      socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS)
    )
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    listener.bind((name, _ALL_PROTOCOLS))
    listener.setblocking(False)
  except PermissionError:
    raise InputError(
      f"{name}: reading it needs the capability CAP_NET_RAW; run as root, or pipe "
      "tcpdump -w - into --captures=-"
    ) from None
  except OSError as error:
    raise InputError(f"{name}: {error.strerror}; give an interface") from None
  return listener


def _receive(listener: socket.socket, kind: int, accounts: Accounts) -> RawPackets:
  """What has come so far, up to a limit."""
  data, lengths, times = bytearray(_CAPTURED * _PACKETS_AT_ONCE), [], []
  view = memoryview(data)
  while len(lengths) < _PACKETS_AT_ONCE:
    begin = len(lengths) * _CAPTURED
    try:
      # With this flag the length is that on the wire, however little fits.
      length, _, _, address = listener.recvmsg_into(
        [view[begin : begin + _CAPTURED]], 0, socket.MSG_TRUNC
      )
    except BlockingIOError:
      break
    if kind == _LOOPBACK and address[2] == socket.PACKET_OUTGOING:
      continue
    lengths.append(length)
    times.append(time.time_ns())
  return _batch(data, lengths, times, kind, accounts)


def _batch(
  data: bytearray, lengths: list[int], times: list[int], kind: int, accounts: Accounts
) -> RawPackets:
  n = len(lengths)
  wire = np.array(lengths, np.int64)
  batch = RawPackets(
    data=np.frombuffer(data, np.uint8),
    offsets=np.arange(n, dtype=np.int64) * _CAPTURED,
    captured=np.minimum(wire, _CAPTURED),
    lengths=wire,
    times=np.array(times, np.int64),
    link_types=np.full(n, _LINK_TYPES[kind], np.int32),
    numbers=accounts.num_packets + np.arange(1, n + 1),
  )
  accounts.num_packets += n
  return batch
