"""Reads packets live from a network interface (Linux only), in batches.

The kernel writes packets into a ring of blocks that this process maps (PACKET_MMAP with
TPACKET_V3), so a packet costs no system call. If the reader pauses, packets are lost
only once the ring is full. Lost packets are counted.
"""

import contextlib
import ctypes
import dataclasses
import errno
import mmap
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from mtl_traffic.data.captures.accounts import Accounts
from mtl_traffic.data.captures.reading import NANOSECONDS, RawPackets, gather
from mtl_traffic.errors import InputError

_ALL_PROTOCOLS = 3  # ETH_P_ALL
_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION = 263, 5, 6, 10
_TPACKET_V3 = 2
_SO_ATTACH_FILTER = 26
_FANOUT, _FANOUT_DATA, _FANOUT_BY_PROGRAM, _NEW_FANOUT = 18, 22, 6, 0x2000
_CAPTURED = 256  # Bytes kept of each packet, enough for all headers that are read.

# Many small blocks rather than few large ones: at a low rate, a block is handed over
# with only a packet or two in it.
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
    # The last field is part of the address, which follows the header.
    "offsets": [0, 4, 8, 12, 16, 24, 58],
    "itemsize": 68,
  }
)

_ETHERNET, _RAW = 1, 101
# Hardware type → link type in pcap's registry.
_LINK_TYPES = {1: _ETHERNET, 772: _ETHERNET, 65534: _RAW, 512: _RAW}
_LOOPBACK = 772


@dataclasses.dataclass(frozen=True)
class Listener:
  """A socket that receives the packets of an interface, or a share of them.

  Attributes:
    name: the interface, such as "eth0".
    socket: its AF_PACKET socket; can be sent to another process.
    ring_bytes: size of its ring of packets.
  """

  name: str
  socket: socket.socket
  ring_bytes: int

  def counts(self) -> tuple[int, int]:
    """Numbers of packets received and lost since the last call.

    A packet is lost if the ring has no room for it.
    """
    told = self.socket.getsockopt(_SOL_PACKET, _STATISTICS, 12)
    total, lost, _ = struct.unpack("3I", told)
    return total - lost, lost


def listen(
  name: str, num_listeners: int = 1, num_blocks: int = _BLOCKS
) -> list[Listener]:
  """Listens to an interface; several listeners share its packets.

  Args:
    name: the interface, such as "eth0".
    num_listeners: the number of listeners; all packets between two addresses go to the
      same one.
    num_blocks: blocks of 128 kB in all rings together; fewer if memory is short.

  Raises:
    InputError: there is no such interface, or it may not be read or shared.
  """
  each = max(num_blocks // num_listeners, _LEAST_BLOCKS)
  with contextlib.ExitStack() as stack:
    listeners = []
    for _ in range(num_listeners):
      listeners.append(_listen(name, each))
      stack.enter_context(listeners[-1].socket)
    try:
      if num_listeners > 1:
        _share(listeners)
      for listener in listeners:
        _attach(listener.socket, _CUT)
    except OSError as error:
      raise InputError(
        f"{name}: the kernel cannot share it between workers ({error.strerror}); "
        "use one worker"
      ) from None
    stack.pop_all()
  return listeners


def read_interface(
  name: str,
  accounts: Accounts,
  patience_s: float = 1.0,
  num_blocks: int = _BLOCKS,
) -> Iterator[RawPackets]:
  """Yields the packets of an interface, see `read_listener`.

  Raises:
    InputError: there is no such interface, or it may not be read.
  """
  (listener,) = listen(name, num_blocks=num_blocks)
  yield from read_listener(listener, accounts, patience_s)


def read_listener(
  listener: Listener, accounts: Accounts, patience_s: float = 1.0
) -> Iterator[RawPackets]:
  """Yields packets as they arrive, without end; a batch is all packets that are ready.

  A packet's time is when the kernel received it. On a loopback interface the kernel
  shows each packet twice; it is read once.

  Args:
    listener: the listener, which is closed at the end.
    accounts: counts the packets that were read, and as lost those that were dropped or
      not read before the generator was closed. If the interface goes away, it gets a
      warning.
    patience_s: after this many seconds without a packet, an empty batch is yielded.
  """
  with listener.socket:
    kind = listener.socket.getsockname()[3]
    ring = mmap.mmap(listener.socket.fileno(), listener.ring_bytes)
    try:
      for batch in _batches(listener.socket, ring, kind, accounts, patience_s):
        accounts.num_lost += listener.counts()[1]
        yield batch
    except OSError as error:
      accounts.warnings.append(
        f"{listener.name}: {error.strerror}, after packet {accounts.num_packets}"
      )
    finally:
      accounts.num_lost += listener.counts()[1] + _left(ring)


def _batches(
  listener: socket.socket,
  ring: mmap.mmap,
  kind: int,
  accounts: Accounts,
  patience_s: float,
) -> Iterator[RawPackets]:
  """Yields the packets that are ready in the ring, until the interface goes away."""
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
  """Appends the offsets of the packets of a block to `starts`."""
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
  """The number of packets in blocks that are ready but were not read."""
  headers = [
    _BLOCK_HEADER.unpack_from(ring, begin + _STATUS)
    for begin in range(0, len(ring), _BLOCK_BYTES)
  ]
  return sum(num_packets for status, num_packets, _ in headers if status & _OURS)


def _listen(name: str, num_blocks: int) -> Listener:
  """A listener whose filter drops all packets; `listen` replaces the filter."""
  if not hasattr(socket, "AF_PACKET"):
    raise InputError(
      f"{name}: interfaces can be read on Linux only; give captures on a pipe"
    )
  with contextlib.ExitStack() as stack:
    try:
      # Protocol 0: otherwise packets of all interfaces would arrive before `bind`.
      listener = stack.enter_context(
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
      )
      listener.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
      _attach(listener, _NOTHING)
      ring_bytes = _make_ring(name, listener, num_blocks)
      listener.bind((name, _ALL_PROTOCOLS))
    except PermissionError:
      raise InputError(
        f"{name}: reading it needs the capability CAP_NET_RAW; run as root, or pipe "
        "tcpdump -w - into --captures=-"
      ) from None
    except OSError as error:
      raise InputError(f"{name}: {error.strerror}; give an interface") from None
    kind = listener.getsockname()[3]
    if kind not in _LINK_TYPES:
      raise InputError(f"{name}: its hardware type {kind} is not supported")
    stack.pop_all()
  return Listener(name, listener, ring_bytes)


def _share(listeners: Sequence[Listener]) -> None:
  """Distributes packets among listeners by their pair of addresses (PACKET_FANOUT)."""
  first, *others = (listener.socket for listener in listeners)
  kind = _FANOUT_BY_PROGRAM << 16
  first.setsockopt(_SOL_PACKET, _FANOUT, kind | _NEW_FANOUT << 16)
  number = first.getsockopt(_SOL_PACKET, _FANOUT) & 0xFFFF
  for listener in others:
    listener.setsockopt(_SOL_PACKET, _FANOUT, kind | number)
  _attach(first, _PAIR_OF_ADDRESSES, _SOL_PACKET, _FANOUT_DATA)


def _attach(
  listener: socket.socket,
  program: Sequence[tuple[int, int, int, int]],
  level: int = socket.SOL_SOCKET,
  option: int = _SO_ATTACH_FILTER,
) -> None:
  """Gives the kernel a program (of classic BPF) to run on each packet."""
  steps = b"".join(struct.pack("=HBBI", *step) for step in program)
  content = ctypes.create_string_buffer(steps, len(steps))
  pointer = struct.pack("@HP", len(program), ctypes.addressof(content))
  listener.setsockopt(level, option, pointer)


# A step of a BPF program: code, jump if true, jump if false, operand.
_RETURN, _RETURN_A = 0x06, 0x16
_LOAD_HALF, _LOAD_WORD = 0x28, 0x20
_IS_EQUAL, _TO_X, _XOR_X, _TIMES, _SHIFT_RIGHT = 0x15, 0x07, 0xAC, 0x24, 0x74
_ETHERTYPE, _IP = 0xFFFFF000, 0xFFF00000  # Offsets that the kernel finds after a tag.
_NOTHING = [(_RETURN, 0, 0, 0)]  # Drops each packet.
_CUT = [(_RETURN, 0, 0, _CAPTURED)]  # Keeps the first bytes of each packet.


def _xor_of_words(places: Sequence[int]) -> list[tuple[int, int, int, int]]:
  """Loads the XOR of words of the IP header into the accumulator.

  Args:
    places: offsets of the words in the header, bytes.
  """
  steps = [(_LOAD_WORD, 0, 0, _IP + places[0])]
  for place in places[1:]:
    steps += [(_TO_X, 0, 0, 0), (_LOAD_WORD, 0, 0, _IP + place), (_XOR_X, 0, 0, 0)]
  return steps


def _pair_of_addresses() -> list[tuple[int, int, int, int]]:
  """A program that hashes both IP addresses; the same for both directions."""
  mixed = [(_TIMES, 0, 0, 0x9E3779B1), (_SHIFT_RIGHT, 0, 0, 16), (_RETURN_A, 0, 0, 0)]
  ipv4 = [*_xor_of_words([12, 16]), *mixed]
  ipv6 = [*_xor_of_words(range(8, 40, 4)), *mixed]
  return [
    (_LOAD_HALF, 0, 0, _ETHERTYPE),
    (_IS_EQUAL, 0, len(ipv4), 0x0800),
    *ipv4,
    (_IS_EQUAL, 0, len(ipv6), 0x86DD),
    *ipv6,
    (_RETURN, 0, 0, 0),  # All other packets go to the first listener.
  ]


_PAIR_OF_ADDRESSES = _pair_of_addresses()


def _make_ring(name: str, listener: socket.socket, num_blocks: int) -> int:
  """Makes the ring, a smaller one if memory is short; returns its size in bytes."""
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
      "%s: the ring for waiting packets has %d instead of %d MB, because memory is "
      "short; free memory, or more packets may be lost",
      name,
      num_blocks * _BLOCK_BYTES >> 20,
      wanted * _BLOCK_BYTES >> 20,
    )
  return num_blocks * _BLOCK_BYTES
