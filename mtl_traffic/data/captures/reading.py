"""Reads pcap and pcapng captures, plain or compressed, as batches of raw packets.

The file passes through one buffer of fixed size. A loop over the records' lengths finds
where packets start; only this must be done packet by packet. Then the records' fields
are read for all packets of the buffer at once.
"""

import dataclasses
import select
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from mtl_traffic.data.captures import unpacking
from mtl_traffic.data.captures.accounts import Accounts, Skipped
from mtl_traffic.errors import InputError

NANOSECONDS = 10**9

_CHUNK_BYTES = 1 << 22
_PATIENCE_S = 0.02  # Time after which a pipe counts as silent.
_PACKETS_AT_ONCE = 1 << 16  # Bounds the memory to decode a chunk of tiny packets.
_LONGEST_BLOCK = 1 << 24
_LONGEST_PACKET = 1 << 18  # libpcap's own limit; a longer one is a damaged length.
_PCAP_HEADER = 24
_LATEST = 1 << 62  # ns, the year 2116, so that sums and differences stay in int64.

# Magic number → byte order, nanoseconds per tick and bytes of a record's header.
_PCAP_MAGICS = {
  b"\xd4\xc3\xb2\xa1": ("<", 1000, 16),
  b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
  b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
  b"\xa1\xb2\x3c\x4d": (">", 1, 16),
  # An old Linux variant with interface, protocol and packet type in each record.
  b"\x34\xcd\xb2\xa1": ("<", 1000, 24),
  b"\xa1\xb2\xcd\x34": (">", 1000, 24),
}
_SECTION = 0x0A0D0D0A
_SECTION_MAGIC = _SECTION.to_bytes(4, "big")  # The same in both byte orders.
_BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_BLOCK = [("kind", "u4"), ("block_length", "u4")]
_STAMP = [("high", "u4"), ("low", "u4"), ("captured", "u4"), ("length", "u4")]
_PACKET_FIELDS = {
  _PACKET: [*_BLOCK, ("interface", "u4"), *_STAMP],
  _OLD_PACKET: [*_BLOCK, ("interface", "u2"), ("drops", "u2"), *_STAMP],
}
_TIME_RESOLUTION, _TIME_OFFSET = 9, 14  # Options of an interface.
_MICROSECONDS = 6


@dataclasses.dataclass(frozen=True)
class RawPackets:
  """A batch of n captured packets.

  `data` is reused: a batch is valid only until the next one is requested.

  Attributes:
    data: `[B]` uint8, bytes that hold the packets.
    offsets: `[n]` int64, where in `data` each packet starts.
    captured: `[n]` int64, captured bytes of each packet.
    lengths: `[n]` int64, bytes of each packet on the wire.
    times: `[n]` int64, ns since 1970.
    link_types: `[n]` int32, from pcap's registry.
    numbers: `[n]` int64, number in the capture, from 1.
  """

  data: np.ndarray
  offsets: np.ndarray
  captured: np.ndarray
  lengths: np.ndarray
  times: np.ndarray
  link_types: np.ndarray
  numbers: np.ndarray

  def part(self, packets: slice | np.ndarray) -> "RawPackets":
    """Selects some of the packets; `data` is shared."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    data = fields.pop("data")
    return RawPackets(data, **{name: field[packets] for name, field in fields.items()})

  def within(
    self, packets: np.ndarray, starts: np.ndarray, ends: np.ndarray
  ) -> "RawPackets":
    """The contents of some packets, from `starts` `[k]` up to `ends` `[n]`."""
    part = self.part(packets)
    captured = np.maximum(ends[packets] - starts, 0)
    on_wire = part.lengths - (starts - part.offsets)
    return dataclasses.replace(
      part, offsets=starts, captured=captured, lengths=np.maximum(on_wire, captured)
    )


def read_packets(
  file: BinaryIO,
  name: str,
  accounts: Accounts,
  chunk_bytes: int = _CHUNK_BYTES,
  live: bool = False,
) -> Iterator[RawPackets]:
  """Yields the packets of a capture in batches.

  Packets before damage are yielded. The damage becomes a warning that names its byte
  offset (in the uncompressed data, if the file is compressed).

  Args:
    file: a buffered binary file, which may be a pipe.
    name: the file's name in messages.
    accounts: where packets and warnings are counted.
    chunk_bytes: how many bytes to read at a time.
    live: whether to yield what a pipe has ready instead of waiting for a full chunk,
      and an empty batch when the pipe falls silent.

  Raises:
    InputError: the file is not a capture.
  """
  window = _Window(file, chunk_bytes, live, accounts.num_packets)
  window.advance(0, at_least=_PCAP_HEADER)
  magic = bytes(window.buffer[: min(window.size, 4)])
  if window.size >= _PCAP_HEADER and magic in _PCAP_MAGICS:
    batches = _read_pcap(window, name, accounts)
  elif window.size >= _PCAP_HEADER and magic == _SECTION_MAGIC:
    batches = _read_pcapng(window, name, accounts)
  else:
    is_cut = magic in _PCAP_MAGICS or magic == _SECTION_MAGIC or not magic
    what = f"ends at byte {window.size}" if is_cut else f"has {magic.hex()} at byte 0"
    damage = f" ({window.damage})" if window.damage else ""
    raise InputError(f"{name}: not a pcap or pcapng capture: it {what}{damage}")
  for batch in batches:
    if not len(batch.offsets):
      yield batch
    num_packets = len(batch.offsets)
    # In equal parts, as a small rest takes nearly as long as a large part.
    num_parts = -(-num_packets // _PACKETS_AT_ONCE)
    for i in range(num_parts):
      ends = (num_packets * place // num_parts for place in (i, i + 1))
      yield batch.part(slice(*ends))
  if window.damage:
    accounts.warnings.append(
      f"{name}: {window.damage} after byte {window.offset + window.size}; "
      f"the {accounts.num_packets - window.num_before} packets before it are used"
    )


class _Window:
  """A buffer of the file's bytes that moves forward through the file."""

  def __init__(self, file: BinaryIO, chunk_bytes: int, live: bool, num_before: int):
    self.buffer = bytearray(chunk_bytes)
    self.size = 0  # Bytes of the buffer that are filled.
    self.offset = 0  # Where in the file the buffer begins.
    self.num_before = num_before  # Packets of other files, counted already.
    self.ended = False
    self.damage: str | None = None
    self._chunk_bytes = chunk_bytes
    self._live = live
    # Bypasses Python's buffer, whose remaining bytes cannot be checked.
    file = getattr(file, "raw", file) if live else file
    self._fill, is_packed = unpacking.open_unpacked(file)
    self._pipe = file if live and not is_packed else None

  def is_silent(self) -> bool:
    """Whether a pipe gave nothing for a while."""
    if self._pipe is None or self.ended:
      return False
    return not select.select([self._pipe], [], [], _PATIENCE_S)[0]

  def advance(self, consumed: int, at_least: int = 1) -> None:
    """Drops the first bytes and fills the buffer up."""
    rest = self.size - consumed
    if rest + self._chunk_bytes > len(self.buffer):
      # A new object, because arrays of the last batch may still look at the old one.
      grown = bytearray(max(rest + self._chunk_bytes, 2 * rest))
      grown[:rest] = self.buffer[consumed : self.size]
      self.buffer = grown
    else:
      self.buffer[:rest] = self.buffer[consumed : self.size]
    self.offset += consumed
    self.size = rest
    target = rest + (at_least if self._live else self._chunk_bytes)
    with memoryview(self.buffer) as view:
      while self.size < target and not self.ended:
        try:
          count = self._fill(view[self.size : rest + self._chunk_bytes])
        except OSError as error:
          self.damage, count = str(error), 0
        self.ended = count == 0
        self.size += count


def _read_pcap(window: _Window, name: str, accounts: Accounts) -> Iterator[RawPackets]:
  order, tick, header = _PCAP_MAGICS[bytes(window.buffer[:4])]
  snap_length, link_type = struct.unpack_from(order + "II", window.buffer, 16)
  link_type &= 0xFFFF  # The upper bits tell of a frame check sequence.
  longest = min(max(_LONGEST_PACKET, snap_length), _LONGEST_BLOCK)
  fields = np.dtype([(f, order + "u4") for f in ("s", "ticks", "captured", "length")])
  position = _PCAP_HEADER
  while True:
    starts, position = _record_starts(window, position, order, header)
    data = np.frombuffer(window.buffer, np.uint8)
    records = gather(data, starts, fields)
    captured = records["captured"].astype(np.int64)
    wrong = np.flatnonzero(captured > longest)
    if wrong.size:
      starts, position = starts[: wrong[0]], int(starts[wrong[0]])
    elif len(starts) and starts[-1] + header + captured[-1] > window.size:
      starts, position = starts[:-1], int(starts[-1])
    n = len(starts)
    records, captured = records[:n], captured[:n]
    if n:
      yield RawPackets(
        data=data,
        offsets=starts + header,
        captured=captured,
        lengths=_on_wire(records["length"], captured, accounts),
        times=records["s"] * np.int64(NANOSECONDS) + records["ticks"] * np.int64(tick),
        link_types=np.full(n, link_type, np.int32),
        numbers=accounts.num_packets + np.arange(1, n + 1),
      )
      accounts.num_packets += n
    if wrong.size:
      _warn_of_damage(window, position, name, accounts, "a packet of impossible length")
      return
    if window.ended:
      _warn_of_cut(window, position, name, accounts)
      return
    if window.is_silent():
      yield _nothing(data)
    del data
    window.advance(position)
    position = 0


def _nothing(data: np.ndarray) -> RawPackets:
  none = np.zeros(0, np.int64)
  return RawPackets(data, none, none, none, none, none.astype(np.int32), none)


def _record_starts(
  window: _Window, position: int, order: str, header: int
) -> tuple[np.ndarray, int]:
  """Where records start; the last one may be incomplete or invalid."""
  captured = struct.Struct(order + "8xI").unpack_from
  buffer, last = window.buffer, window.size - header
  starts = []
  append = starts.append
  while position <= last:
    append(position)
    position += header + captured(buffer, position)[0]
  return np.array(starts, np.int64), position


# Interfaces of a pcapng file. The resolution r has pcapng's coding: 10^−r s, or
# 2^−(r − 128) s from 128 on.
_INTERFACES = np.dtype([("link_type", "i4"), ("resolution", "u1"), ("offset_s", "i8")])
_MOST_INTERFACES = 1 << 20  # Interfaces of a section; bounds memory.


def _read_pcapng(
  window: _Window, name: str, accounts: Accounts
) -> Iterator[RawPackets]:
  order, interfaces, position = "", np.zeros(0, _INTERFACES), 0
  while True:
    problem = None
    if _kind(window, position) == _SECTION:
      order = _byte_order(window.buffer, position)
      problem = None if order else "a section of unknown byte order"
    if not problem:
      starts, position, problem = _block_starts(window, position, order)
      data = np.frombuffer(window.buffer, np.uint8)
      blocks, wrong = _blocks(data, starts, order)
      if wrong is not None:
        position, problem = wrong, "a block whose two lengths differ"
      if len(blocks):
        packets, interfaces = _packets(data, blocks, order, interfaces, accounts)
        if len(packets.times):
          yield packets
        del packets
      if len(interfaces) > _MOST_INTERFACES:
        problem = f"a section of more than {_MOST_INTERFACES} interfaces"
      del data
    if problem:
      return _warn_of_damage(window, position, name, accounts, problem)
    if len(starts):
      continue  # The window may go on with another section.
    if window.ended:
      return _warn_of_cut(window, position, name, accounts)
    if window.is_silent():
      yield _nothing(np.zeros(0, np.uint8))
    window.advance(position)
    position = 0


def _byte_order(buffer: bytearray, position: int) -> str:
  """The byte order of the section that begins there; empty if unknown."""
  return _BYTE_ORDERS.get(bytes(buffer[position + 8 : position + 12]), "")


def _kind(window: _Window, position: int) -> int | None:
  if position + 12 > window.size:
    return None
  # A section's kind reads the same in both byte orders.
  return int.from_bytes(window.buffer[position : position + 4], "little")


def _block_starts(
  window: _Window, position: int, order: str
) -> tuple[list[int], int, str | None]:
  """Follows complete blocks up to the next section of another byte order.

  Returns:
    Where the blocks start, where to continue, and the problem there, if any.
  """
  header = struct.Struct(order + "II").unpack_from
  buffer, last = window.buffer, window.size - 12
  starts = []
  append = starts.append
  while position <= last:
    kind, length = header(buffer, position)
    if kind == _SECTION and _byte_order(buffer, position) != order:
      break  # Its length is in another byte order.
    if length < 12 or length & 3 or length > _LONGEST_BLOCK:
      return starts, position, f"a block of impossible length {length}"
    append(position)
    position += length
  if position > window.size:
    position = starts.pop()
  return starts, position, None


def _blocks(
  data: np.ndarray, starts: list[int], order: str
) -> tuple[np.ndarray, int | None]:
  """`[n, 3]` kind, start and length of the blocks up to one whose lengths differ."""
  starts = np.array(starts, np.int64)
  number = np.dtype(order + "u4")
  kinds = gather(data, starts, number).astype(np.int64)
  lengths = gather(data, starts + 4, number).astype(np.int64)
  trailers = gather(data, starts + lengths - 4, number)
  differ = np.flatnonzero(trailers != lengths)
  blocks = np.stack([kinds, starts, lengths], axis=1)
  if differ.size:
    return blocks[: differ[0]], int(starts[differ[0]])
  return blocks, None


def _interface(
  data: np.ndarray, start: int, length: int, order: str
) -> tuple[int, int, int]:
  """Reads an interface's description, as in `_INTERFACES`."""
  block = data[start : start + length - 4].tobytes()
  link_type = struct.unpack_from(order + "H", block.ljust(10, b"\0"), 8)[0]
  options, position = {}, 16
  while position + 4 <= len(block):
    code, size = struct.unpack_from(order + "HH", block, position)
    if code == 0:
      break
    options[code] = block[position + 4 : position + 4 + size]
    position += 4 + size + -size % 4
  resolution, offset = options.get(_TIME_RESOLUTION), options.get(_TIME_OFFSET)
  return (
    link_type,
    resolution[0] if resolution else _MICROSECONDS,
    struct.unpack(order + "q", offset)[0] if offset and len(offset) == 8 else 0,
  )


def _packets(
  data: np.ndarray,
  blocks: np.ndarray,
  order: str,
  interfaces: np.ndarray,
  accounts: Accounts,
) -> tuple[RawPackets, np.ndarray]:
  """The packets of blocks `[m, 3]`; invalid ones are skipped and counted.

  Args:
    data: the bytes.
    blocks: kind, start and length of each block.
    order: the byte order.
    interfaces: the interfaces of the section that the first block continues.
    accounts: where packets are counted.

  Returns:
    The packets, and the interfaces of the section that is open after the blocks.
  """
  kinds, starts, lengths = blocks.T
  is_interface = kinds == _INTERFACE
  described = [_interface(data, *b[1:], order) for b in blocks[is_interface]]
  # The interfaces of all sections; a block may use earlier ones of its own section.
  known = len(interfaces) + np.cumsum(is_interface)
  first = np.maximum.accumulate(np.where(kinds == _SECTION, known, 0))
  interfaces = np.concatenate([interfaces, np.array(described, _INTERFACES)])

  is_simple = kinds == _SIMPLE_PACKET
  is_packet = np.isin(kinds, list(_PACKET_FIELDS))
  numbers = accounts.num_packets + np.cumsum(is_packet | is_simple)
  accounts.num_packets = int(numbers[-1])
  accounts.skip(Skipped.NO_TIME, int(is_simple.sum()))

  records = np.zeros(len(blocks), _PACKET_FIELDS[_PACKET])
  offsets = np.zeros(len(blocks), np.int64)
  for kind, form in _PACKET_FIELDS.items():
    fields = np.dtype([(name, order + size) for name, size in form])
    rows = np.flatnonzero((kinds == kind) & (lengths >= fields.itemsize + 4))
    of_kind = gather(data, starts[rows], fields)
    for name in records.dtype.names:
      records[name][rows] = of_kind[name]
    offsets[rows] = starts[rows] + fields.itemsize
  captured = records["captured"].astype(np.int64)
  sound = (
    (offsets > 0)
    & (records["interface"] < known - first)
    & (offsets + captured <= starts + lengths - 4)
  )
  accounts.skip(Skipped.DAMAGED, int((is_packet & ~sound).sum()))
  rows = np.flatnonzero(sound)
  records, captured = records[rows], captured[rows]
  ticks = records["high"].astype(np.uint64) << np.uint64(32) | records["low"]
  of_packets = interfaces[first[rows] + records["interface"]]
  times, timed = _nanoseconds(ticks, of_packets)
  accounts.skip(Skipped.NO_TIME, int((~timed).sum()))
  packets = RawPackets(
    data=data,
    offsets=offsets[rows][timed],
    captured=captured[timed],
    lengths=_on_wire(records["length"], captured, accounts)[timed],
    times=times[timed],
    link_types=of_packets["link_type"][timed],
    numbers=numbers[rows][timed],
  )
  return packets, interfaces[first[-1] :]


_POWERS_OF_TEN = np.array([10**power for power in range(20)], np.uint64)


def _on_wire(
  lengths: np.ndarray, captured: np.ndarray, accounts: Accounts
) -> np.ndarray:
  """Lengths on the wire; the captured length where one is impossible."""
  wrong = (lengths > _LONGEST_PACKET) & (captured < lengths)
  accounts.num_wrong_lengths += int(wrong.sum())
  return np.where(wrong, captured, np.maximum(lengths, captured))


def _nanoseconds(
  ticks: np.ndarray, interfaces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Times `[n]` in ns since 1970, and a mask of those that int64 can hold.

  Args:
    ticks: `[n]` uint64.
    interfaces: `[n]`, the interface of each.
  """
  power = (interfaces["resolution"] & 0x7F).astype(np.uint64)
  # A uint64 has at most 19 digits after the point.
  decimal = np.minimum(power, np.uint64(19)).astype(np.int64)
  seconds, fraction = np.divmod(ticks, _POWERS_OF_TEN[decimal])
  rest = np.where(
    decimal <= 9,
    fraction * _POWERS_OF_TEN[np.maximum(9 - decimal, 0)],
    fraction // _POWERS_OF_TEN[np.maximum(decimal - 9, 0)],
  )
  is_binary = interfaces["resolution"] >= 0x80
  if is_binary.any():
    bits = np.minimum(power, np.uint64(32))
    # More than 32 bits of a second would overflow in the product below.
    shifted = ticks >> np.minimum(power - bits, np.uint64(63))
    fraction = shifted & ((np.uint64(1) << bits) - np.uint64(1))
    seconds = np.where(is_binary, shifted >> bits, seconds)
    rest = np.where(is_binary, (fraction * np.uint64(NANOSECONDS)) >> bits, rest)
  latest = _LATEST // NANOSECONDS
  offsets = np.clip(interfaces["offset_s"], -2 * latest, 2 * latest)
  seconds = np.minimum(seconds, np.uint64(4 * latest)).astype(np.int64) + offsets
  held = (seconds >= 0) & (seconds < latest)
  return np.where(held, seconds, 0) * NANOSECONDS + rest.astype(np.int64), held


def gather(data: np.ndarray, starts: np.ndarray, dtype: np.dtype) -> np.ndarray:
  """The values of type `dtype` whose bytes start at `starts` in `data` `[B]`."""
  dtype = np.dtype(dtype)
  places = max(len(data) - dtype.itemsize + 1, 0)
  # Overlapping views need only one copy per packet, however many fields there are.
  view = np.ndarray((places,), f"V{dtype.itemsize}", data, strides=(1,))
  return view[starts].view(dtype)


def _warn_of_damage(
  window: _Window, position: int, name: str, accounts: Accounts, problem: str
) -> None:
  accounts.warnings.append(
    f"{name}: damaged at byte {window.offset + position} ({problem}); the "
    f"{accounts.num_packets - window.num_before} packets before it are used, the rest "
    "of the file is not"
  )


def _warn_of_cut(window: _Window, position: int, name: str, accounts: Accounts) -> None:
  rest = window.size - position
  if rest and not window.damage:
    accounts.warnings.append(
      f"{name}: cut short inside a packet, at byte {window.offset + window.size}; "
      f"the {accounts.num_packets - window.num_before} packets before it are used"
    )
