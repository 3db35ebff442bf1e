"""Reads packets live from a network interface (Linux only), in batches.

The kernel writes packets into a ring of blocks that this process maps (PACKET_MMAP with
TPACKET_V3), so a packet costs no system call. If the reader pauses, packets are lost
only once the ring is full. Lost packets are counted.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import select
import socket
import struct
from collections.abc import Iterator

import numpy as np
from absl import logging

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.reading import NANOSECONDS, RawPackets, gather
from mtl_traffic.errors import InputError

_ALL_PROTOCOLS = 3  # ETH_P_ALL
_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION = 263, 5, 6, 10
_TPACKET_V3 = 2
_SO_ATTACH_FILTER, _RETURN = 26, 0x06
_CAPTURED = 256  # Bytes kept of a packet; enough for all headers that are read.

# Many small blocks rather than few large ones: at a low rate a block is used up by only
# a packet or two.
_BLOCK_BYTES, _BLOCKS, _LEAST_BLOCKS = 1 << 17, 512, 16
_BLOCKS_AT_ONCE = 32  # Blocks in a batch.
_HANDED_OVER_MS = 10  # The kernel hands a block over after this time, full or not.
_OURS, _THE_KERNELS = 1, 0  # Status of a block.
_STATUS = 8  # Offset in a block; the number of packets and their start come after it.
_BLOCK_HEADER = struct.Struct("=3I")
_PACKET_HEADER = np.dtype(
  {
    "names": ["next", "s", "ns", "captured", "length", "start", "passing"],
    "formats": ["u4", "u4", "u4", "u4", "u4", "u2", "u1"],
    # The last field belongs to the address behind the header.
    "offsets": [0, 4, 8, 12, 16, 24, 58],
    "itemsize": 68,
  }
)

_ETHERNET, _RAW = 1, 101
# Hardware type → link type in pcap's registry.
_LINK_TYPES = {1: _ETHERNET, 772: _ETHERNET, 65534: _RAW, 512: _RAW}
_LOOPBACK = 772


def read_interface(
  name: str,
  accounts: Accounts,
  patience_s: float = 1.0,
  num_blocks: int = _BLOCKS,
) -> Iterator[RawPackets]:
  """Yields packets as they come, without end; a batch holds the packets that are ready.

  A packet's time is when the kernel received it. On a loopback interface each packet
  passes twice, but is read once.

  Args:
    name: the interface, for example "eth0".
    accounts: where packets are counted. Packets that were lost, or not read before the
      generator was closed, count as lost. If the interface goes away, a warning is
      added.
    patience_s: after this many seconds of silence an empty batch is yielded.
    num_blocks: size of the ring in blocks of 128 kB; it is smaller if the system has
      less memory.

  Raises:
    InputError: the interface does not exist, or reading it is not permitted.
  """
  listener, ring = _listen(name, num_blocks)
  with listener:
    kind = listener.getsockname()[3]
    if kind not in _LINK_TYPES:
      raise InputError(f"{name}: an interface of unknown kind {kind}")
    try:
      for batch in _batches(listener, ring, kind, accounts, patience_s):
        accounts.num_lost += _lost(listener)
        yield batch
    except OSError as error:
      accounts.warnings.append(
        f"{name}: {error.strerror}, after packet {accounts.num_packets}"
      )
    finally:
      accounts.num_lost += _lost(listener) + _left(ring)


def _batches(
  listener: socket.socket,
  ring: mmap.mmap,
  kind: int,
  accounts: Accounts,
  patience_s: float,
) -> Iterator[RawPackets]:
  """Yields batches of the ring's ready packets until the interface goes away."""
  data = np.frombuffer(ring, np.uint8)
  num_blocks = len(ring) // _BLOCK_BYTES
  waiting = select.poll()
  waiting.register(listener, select.POLLIN | select.POLLERR)
  block = 0
  while True:
    blocks, starts = [], []
    while len(blocks) < _BLOCKS_AT_ONCE:
      begin = block * _BLOCK_BYTES
      status, num_packets, first = _BLOCK_HEADER.unpack_from(ring, begin + _STATUS)
      if not status & _OURS:
        break
      _follow(ring, begin + first, num_packets, starts)
      blocks.append(begin)
      block = (block + 1) % num_blocks
    if not blocks:
      ready = waiting.poll(1000 * patience_s)
      if ready and ready[0][1] & select.POLLERR:
        problem = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        raise OSError(problem, os.strerror(problem or errno.ENETDOWN))
      if ready:
        continue
    try:
      yield _batch(data, np.array(starts, np.int64), kind, accounts)
    finally:
      for begin in blocks:
        struct.pack_into("=I", ring, begin + _STATUS, _THE_KERNELS)


def _follow(ring: mmap.mmap, start: int, num_packets: int, starts: list[int]) -> None:
  """Appends where the packets of a block start."""
  step = struct.Struct("=I").unpack_from
  for _ in range(num_packets):
    starts.append(start)
    start += step(ring, start)[0]


def _batch(
  data: np.ndarray, starts: np.ndarray, kind: int, accounts: Accounts
) -> RawPackets:
  headers = gather(data, starts, _PACKET_HEADER)
  if kind == _LOOPBACK:
    passes_first = headers["passing"] != socket.PACKET_OUTGOING
    starts, headers = starts[passes_first], headers[passes_first]
  n = len(starts)
  batch = RawPackets(
    data=data,
    offsets=starts + headers["start"],
    captured=headers["captured"].astype(np.int64),
    lengths=headers["length"].astype(np.int64),
    times=headers["s"] * np.int64(NANOSECONDS) + headers["ns"],
    link_types=np.full(n, _LINK_TYPES[kind], np.int32),
    numbers=accounts.num_packets + np.arange(1, n + 1),
  )
  accounts.num_packets += n
  return batch


def _left(ring: mmap.mmap) -> int:
  """The number of packets in ready blocks that were not read."""
  headers = [
    _BLOCK_HEADER.unpack_from(ring, begin + _STATUS)
    for begin in range(0, len(ring), _BLOCK_BYTES)
  ]
  return sum(num_packets for status, num_packets, _ in headers if status & _OURS)


def _lost(listener: socket.socket) -> int:
  """Packets that were lost since the last call."""
  return struct.unpack("3I", listener.getsockopt(_SOL_PACKET, _STATISTICS, 12))[1]


def _listen(name: str, num_blocks: int) -> tuple[socket.socket, mmap.mmap]:
  """Opens the interface's socket and the ring of its packets."""
  if not hasattr(socket, "AF_PACKET"):
    raise InputError(f"{name}: only Linux can be read live; give captures on a pipe")
  with contextlib.ExitStack() as stack:
    try:
      # No protocol yet: before it is bound, packets of all interfaces would come in.
      listener = stack.enter_context(
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
      )
      listener.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
      _cut_packets(listener)
      ring = _ring(name, listener, num_blocks)
      listener.bind((name, _ALL_PROTOCOLS))
    except PermissionError:
      raise InputError(
        f"{name}: reading it needs the capability CAP_NET_RAW; run as root, or pipe "
        "tcpdump -w - into --captures=-"
      ) from None
    except OSError as error:
      raise InputError(f"{name}: {error.strerror}; give an interface") from None
    stack.pop_all()
  return listener, ring


def _cut_packets(listener: socket.socket) -> None:
  """Makes the kernel keep only the first bytes of each packet."""
  program = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, _CAPTURED))
  pointer = struct.pack("@HP", 1, ctypes.addressof(program))
  listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


def _ring(name: str, listener: socket.socket, num_blocks: int) -> mmap.mmap:
  """Maps the ring; it is smaller than wanted if the system has too little memory."""
  wanted = num_blocks
  while True:
    frame = 1 << 11  # Required, but ignored by this version of the ring.
    frames = num_blocks * _BLOCK_BYTES // frame
    sizes = (_BLOCK_BYTES, num_blocks, frame, frames, _HANDED_OVER_MS, 0, 0)
    try:
      listener.setsockopt(_SOL_PACKET, _RX_RING, struct.pack("7I", *sizes))
      break
    except OSError as error:
      if error.errno != errno.ENOMEM or num_blocks <= _LEAST_BLOCKS:
        raise
    num_blocks //= 2
  if num_blocks < wanted:
    logging.warning(
      "%s: the system gave %d of %d MB for packets that wait; free memory, or more "
      "will be lost",
      name,
      num_blocks * _BLOCK_BYTES >> 20,
      wanted * _BLOCK_BYTES >> 20,
    )
  return mmap.mmap(listener.fileno(), num_blocks * _BLOCK_BYTES)
