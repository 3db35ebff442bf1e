"""Shared memory through which one process gives packets to another, by columns.

The memory is divided into slots; each holds the packets of one turn. It is anonymous,
so the system frees it when the processes end, even if they are killed.
"""

import ctypes
import dataclasses
from multiprocessing.context import BaseContext

import numpy as np

from mtl_traffic.data.captures.decoding import Packets
from mtl_traffic.data.captures.headers import KEY_WORDS
from mtl_traffic.data.captures.ordering import Ordered
from mtl_traffic.data.captures.sequence import Piece, Turn

MOST_PACKETS = 100_000  # In a slot; pieces made by `ordering` are smaller.
_CLOCKS, _CARRIERS = "clocks", "carriers"  # Optional columns.
# The columns that `assembly` reads. `contents` only serves to find copies, earlier.
_COLUMNS = {
  "numbers": np.dtype("i8"),
  "times": np.dtype("i8"),
  "lengths": np.dtype("i8"),
  "keys": np.dtype(("u8", KEY_WORDS)),
  "sequences": np.dtype("u4"),
  "acknowledged": np.dtype("u4"),
  "flags": np.dtype("u1"),
  "from_first": np.dtype("?"),
  _CLOCKS: np.dtype("i8"),
  _CARRIERS: np.dtype(("u8", KEY_WORDS)),
}
_ALWAYS = [name for name in _COLUMNS if name not in (_CLOCKS, _CARRIERS)]
_SLOT_BYTES = MOST_PACKETS * sum(kind.itemsize for kind in _COLUMNS.values())


@dataclasses.dataclass(frozen=True)
class Note:
  """Describes the content of a slot; sent to the other process beside it.

  Attributes:
    num_packets: how many packets are in the slot.
    columns: the names of the columns that are there.
    now: as in `Turn`.
    piece: `first`, `last` and `begins_epoch` of the turn's `Piece`; None if the turn
      has none.
  """

  num_packets: int
  columns: tuple[str, ...]
  now: int
  piece: tuple[int, int, bool] | None


class SharedTurns:
  """Slots of shared memory; can be passed to a new process."""

  def __init__(self, context: BaseContext, num_slots: int):
    """Args:
    context: the multiprocessing context of the processes.
    num_slots: how many turns fit at a time.
    """
    self._memory = context.RawArray(ctypes.c_uint8, _SLOT_BYTES * num_slots)

  def put(self, slot: int, turn: Turn, packets: np.ndarray) -> Note:
    """Copies packets of a turn, which has one piece or none, into a slot.

    Args:
      slot: the number of the slot, from 0 on.
      turn: the turn.
      packets: `[m]` int64, the indices of the packets to copy.

    Returns:
      The note that `get` needs.
    """
    if not turn.pieces:
      return Note(0, (), turn.now, None)
    (piece,) = turn.pieces
    ordered = piece.ordered
    columns = {name: getattr(ordered.packets, name) for name in _ALWAYS}
    if ordered.has_late:
      columns[_CLOCKS] = ordered.clocks
    if ordered.packets.carriers.shape[1]:
      columns[_CARRIERS] = ordered.packets.carriers
    names = tuple(columns)
    places = self._places(slot, names, len(packets))
    for name, column in columns.items():
      # The indices are valid. "clip" skips the check, for which numpy would copy.
      np.take(column, packets, axis=0, out=places[name], mode="clip")
    of_piece = (piece.first, piece.last, piece.begins_epoch)
    return Note(len(packets), names, turn.now, of_piece)

  def get(self, slot: int, note: Note) -> Turn:
    """The turn in a slot, as views that are valid until the slot is filled again."""
    if note.piece is None:
      return Turn([], note.now)
    columns = self._places(slot, note.columns, note.num_packets)
    nothing = np.zeros((note.num_packets, 0), np.uint64)
    clocks = columns.pop(_CLOCKS, columns["times"])
    packets = Packets(
      **{_CARRIERS: nothing, **columns},
      contents=np.zeros(note.num_packets, np.uint64),
    )
    first, last, begins_epoch = note.piece
    ordered = Ordered(packets, clocks, begins_epoch)
    return Turn([Piece(ordered, first, last, begins_epoch)], note.now)

  def _places(
    self, slot: int, names: tuple[str, ...], num_packets: int
  ) -> dict[str, np.ndarray]:
    """Views of the named columns of a slot, for `num_packets` packets."""
    memory = np.frombuffer(self._memory, np.uint8)
    place, places = slot * _SLOT_BYTES, {}
    for name, kind in _COLUMNS.items():
      if name in names:
        rows = memory[place : place + kind.itemsize * num_packets]
        places[name] = rows.view(kind.base).reshape(num_packets, *kind.shape)
      place += kind.itemsize * MOST_PACKETS
    return places
