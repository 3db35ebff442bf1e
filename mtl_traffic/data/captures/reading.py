"""Reads pcap and pcapng captures, plain or packed, as batches of raw packets.

The file passes through one buffer of fixed size. A loop over the records' lengths finds
where packets start, which is all that has to be done one after another; the records'
fields are then read for all packets of the buffer at once.
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
_PATIENCE_S = 0.02  # Until a pipe counts as silent.
_PACKETS_AT_ONCE = 1 << 15  # Bounds what decoding makes of a chunk of tiny packets.
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
  # As Linux wrote them long ago: interface, protocol and kind stand there too.
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

  `data` is reused: a batch is valid until the next one is asked for.

  Attributes:
    data: `[B]` uint8, bytes that hold the packets.
    offsets: `[n]` int64, where in `data` each packet starts.
    captured: `[n]` int64, bytes of each packet that were captured.
    lengths: `[n]` int64, bytes that each packet had on the wire.
    times: `[n]` int64, ns since 1970.
    link_types: `[n]` int32, as registered for pcap.
    numbers: `[n]` int64, place in the capture, from 1.
  """

  data: np.ndarray
  offsets: np.ndarray
  captured: np.ndarray
  lengths: np.ndarray
  times: np.ndarray
  link_types: np.ndarray
  numbers: np.ndarray

  def part(self, packets: slice | np.ndarray) -> "RawPackets":
    """Some of the packets, of the same data."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    data = fields.pop("data")
    return RawPackets(data, **{name: field[packets] for name, field in fields.items()})

  def within(
    self, packets: np.ndarray, starts: np.ndarray, ends: np.ndarray
  ) -> "RawPackets":
    """What some of the packets carry from `starts` `[k]` on, up to `ends` `[n]`."""
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

  What came before damage is yielded; the damage itself becomes a warning that names
  the byte at which it stands (in the unpacked data, if the file is packed).

  Args:
    file: a buffered binary file, which may be a pipe.
    name: what to call it in messages.
    accounts: where packets and warnings are counted.
    chunk_bytes: how much to read at a time.
    live: yield what a pipe has ready rather than wait until a chunk is full, and an
      empty batch when it falls silent.

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
    for first in range(0, len(batch.offsets), _PACKETS_AT_ONCE):
      yield batch.part(slice(first, first + _PACKETS_AT_ONCE))
  if window.damage:
    accounts.warnings.append(
      f"{name}: {window.damage} after byte {window.offset + window.size}; "
      f"the {accounts.num_packets - window.num_before} packets before it are used"
    )


class _Window:
  """A stretch of the file's bytes that moves forward over it."""

  def __init__(self, file: BinaryIO, chunk_bytes: int, live: bool, num_before: int):
    self.buffer = bytearray(chunk_bytes)
    self.size = 0  # Bytes of the buffer that are filled.
    self.offset = 0  # Where in the file the buffer begins.
    self.num_before = num_before  # Packets of other files, counted already.
    self.ended = False
    self.damage: str | None = None
    self._chunk_bytes = chunk_bytes
    self._live = live
    # Past Python's buffer, in which nobody sees whether something is left.
    file = getattr(file, "raw", file) if live else file
    self._fill, is_packed = unpacking.open_unpacked(file)
    self._pipe = file if live and not is_packed else None

  def is_silent(self) -> bool:
    """Whether nothing comes from a pipe for a while."""
    if self._pipe is None or self.ended:
      return False
    return not select.select([self._pipe], [], [], _PATIENCE_S)[0]

  def advance(self, consumed: int, at_least: int = 1) -> None:
    """Drops the first bytes and fills up behind the others."""
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
  """Where records start; the last may reach beyond the window, or be nonsense."""
  captured = struct.Struct(order + "8xI").unpack_from
  buffer, last = window.buffer, window.size - header
  starts = []
  append = starts.append
  while position <= last:
    append(position)
    position += header + captured(buffer, position)[0]
  return np.array(starts, np.int64), position


@dataclasses.dataclass(frozen=True)
class _Interface:
  link_type: int
  resolution: int  # As in the file: 10^−r, or 2^−(r − 128) from 128 on.
  offset_s: int


def _read_pcapng(
  window: _Window, name: str, accounts: Accounts
) -> Iterator[RawPackets]:
  order, interfaces, position = "", [], 0
  while True:
    problem = None
    if _kind(window, position) == _SECTION:
      magic = bytes(window.buffer[position + 8 : position + 12])
      order, interfaces = _BYTE_ORDERS.get(magic, ""), []
      problem = None if order else "a section of unknown byte order"
    if not problem:
      starts, position, problem = _block_starts(window, position, order)
      data = np.frombuffer(window.buffer, np.uint8)
      blocks, wrong = _blocks(data, starts, order)
      if wrong is not None:
        position, problem = wrong, "a block whose two lengths differ"
      for kind, run in _runs(blocks):
        if kind == _INTERFACE:
          interfaces.extend(_interface(data, *block, order) for block in run)
        elif kind == _SIMPLE_PACKET:
          accounts.num_packets += len(run)
          accounts.skip(Skipped.NO_TIME, len(run))
        elif kind in _PACKET_FIELDS:
          packets = _packets(data, run, kind, order, interfaces, accounts)
          if len(packets.times):
            yield packets
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


def _kind(window: _Window, position: int) -> int | None:
  if position + 12 > window.size:
    return None
  # A section's kind reads the same in both byte orders.
  return int.from_bytes(window.buffer[position : position + 4], "little")


def _block_starts(
  window: _Window, position: int, order: str
) -> tuple[list[int], int, str | None]:
  """Follows whole blocks up to the next section.

  Returns:
    Where they start, where to go on, and what is wrong there if something is.
  """
  header = struct.Struct(order + "II").unpack_from
  buffer, last = window.buffer, window.size - 12
  starts = []
  append = starts.append
  while position <= last:
    kind, length = header(buffer, position)
    if kind == _SECTION and starts:
      break  # Its length may be in another byte order.
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


def _runs(blocks: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
  """Blocks of one kind that follow each other, as (kind, `[m, 2]` start and length)."""
  ends = np.flatnonzero(np.diff(blocks[:, 0])) + 1
  for run in np.split(blocks, ends):
    if len(run):
      yield int(run[0, 0]), run[:, 1:]


def _interface(data: np.ndarray, start: int, length: int, order: str) -> _Interface:
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
  return _Interface(
    link_type=link_type,
    resolution=resolution[0] if resolution else _MICROSECONDS,
    offset_s=struct.unpack(order + "q", offset)[0]
    if offset and len(offset) == 8
    else 0,
  )


def _packets(
  data: np.ndarray,
  blocks: np.ndarray,
  kind: int,
  order: str,
  interfaces: list[_Interface],
  accounts: Accounts,
) -> RawPackets:
  """The packets of blocks `[m, 2]` of one kind; those without sense are counted."""
  starts, lengths = blocks.T
  fields = np.dtype([(name, order + form) for name, form in _PACKET_FIELDS[kind]])
  numbers = accounts.num_packets + np.arange(1, len(starts) + 1)
  accounts.num_packets += len(starts)
  whole = lengths >= fields.itemsize + 4
  accounts.skip(Skipped.DAMAGED, int((~whole).sum()))
  starts, lengths, numbers = starts[whole], lengths[whole], numbers[whole]
  records = gather(data, starts, fields)
  captured = records["captured"].astype(np.int64)
  sound = (records["interface"] < len(interfaces)) & (
    captured <= lengths - fields.itemsize - 4
  )
  accounts.skip(Skipped.DAMAGED, int((~sound).sum()))

  ticks = records["high"].astype(np.uint64) << np.uint64(32) | records["low"]
  times = np.zeros(len(starts), np.int64)
  link_types = np.zeros(len(starts), np.int32)
  timed = sound.copy()
  for index in np.unique(records["interface"][sound]):
    rows = np.flatnonzero(sound & (records["interface"] == index))
    interface = interfaces[index]
    times[rows], timed[rows] = _nanoseconds(ticks[rows], interface)
    link_types[rows] = interface.link_type
  accounts.skip(Skipped.NO_TIME, int((sound & ~timed).sum()))
  return RawPackets(
    data=data,
    offsets=starts[timed] + fields.itemsize,
    captured=captured[timed],
    lengths=_on_wire(records["length"], captured, accounts)[timed],
    times=times[timed],
    link_types=link_types[timed],
    numbers=numbers[timed],
  )


def _on_wire(
  lengths: np.ndarray, captured: np.ndarray, accounts: Accounts
) -> np.ndarray:
  """Lengths on the wire; where one cannot be, what was captured."""
  wrong = (lengths > _LONGEST_PACKET) & (captured < lengths)
  accounts.num_wrong_lengths += int(wrong.sum())
  return np.where(wrong, captured, np.maximum(lengths, captured))


def _nanoseconds(
  ticks: np.ndarray, interface: _Interface
) -> tuple[np.ndarray, np.ndarray]:
  """Times in ns since 1970, and a mask of those that int64 can hold."""
  power = interface.resolution & 0x7F
  if interface.resolution & 0x80:
    # More than 32 bits of a second would not survive the product below.
    ticks = ticks >> np.uint64(min(max(power - 32, 0), 63))
    bits = np.uint64(min(power, 32))
    seconds = ticks >> bits
    fraction = ticks & ((np.uint64(1) << bits) - np.uint64(1))
    rest = (fraction * np.uint64(NANOSECONDS)) >> bits
  else:
    # An uint64 has no more than 19 digits behind the point.
    per_second = np.uint64(10 ** min(power, 19))
    seconds, fraction = np.divmod(ticks, per_second)
    if power <= 9:
      rest = fraction * np.uint64(10 ** (9 - power))
    else:
      rest = fraction // np.uint64(10 ** (min(power, 19) - 9))
  latest = _LATEST // NANOSECONDS
  offset = int(np.clip(interface.offset_s, -2 * latest, 2 * latest))
  seconds = np.minimum(seconds, np.uint64(4 * latest)).astype(np.int64) + offset
  held = (seconds >= 0) & (seconds < latest)
  return np.where(held, seconds, 0) * NANOSECONDS + rest.astype(np.int64), held


def gather(data: np.ndarray, starts: np.ndarray, dtype: np.dtype) -> np.ndarray:
  """The values of type `dtype` whose bytes start at `starts` in `data` `[B]`."""
  dtype = np.dtype(dtype)
  places = max(len(data) - dtype.itemsize + 1, 0)
  # Overlapping views make it one copy a packet, however many fields there are.
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
