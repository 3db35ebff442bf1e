"""The first packets of flows that are being assembled, in pages of a few packets.

A flow's packets are in as many pages as it needs. So the time to add packets depends on
their number, and not on how many packets are kept already.
"""

import numpy as np

PACKET = np.dtype([("time", "i8"), ("length", "i4"), ("from_first", "?")], align=True)

_PAGE = 16  # Packets.
_NONE = -1


class KeptPackets:
  """Packets by the slot of their flow, in the order in which they are added."""

  def __init__(self):
    self._pages = np.zeros((64, _PAGE), PACKET)
    self._free = np.arange(len(self._pages))
    self._of_slot = np.full((0, 0), _NONE, np.int32)  # The pages of each slot.
    self._counts = np.zeros(0, np.int64)
    self._num_packets = 0

  def __len__(self) -> int:
    """How many packets are kept."""
    return self._num_packets

  def add(self, slots: np.ndarray, places: np.ndarray, packets: np.ndarray) -> None:
    """Adds packets; those of flows whose earlier packets were dropped are left out.

    Args:
      slots: `[m]` int, the slot of each packet's flow.
      places: `[m]` int64, each packet's place in its flow, from 0. Within a flow, they
        ascend by one.
      packets: `[m]` of `PACKET`.
    """
    if not len(slots):
      return
    self._make_room(int(slots.max()) + 1, int(places.max()) // _PAGE + 1)
    self._counts[slots[places == 0]] = 1
    is_kept = self._counts[slots] > 0
    if not is_kept.all():
      slots, places, packets = slots[is_kept], places[is_kept], packets[is_kept]
    pages, places_in_page = places // _PAGE, places % _PAGE
    opens = places_in_page == 0
    self._of_slot[slots[opens], pages[opens]] = self._take(np.count_nonzero(opens))
    self._pages[self._of_slot[slots, pages], places_in_page] = packets
    self._counts[slots] = places + 1  # Of several packets, the last one's counts.
    self._num_packets += len(slots)

  def counts(self, slots: np.ndarray) -> np.ndarray:
    """How many packets of flows are kept, `[N]`, for slots `[N]`."""
    self._make_room(int(slots.max(initial=-1)) + 1, 0)
    return self._counts[slots]

  def of(self, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The packets of N flows, one flow after another, `[sum(counts)]`, and counts."""
    counts = self.counts(slots)
    num_pages = -(-counts // _PAGE)
    rows = np.repeat(np.arange(len(slots)), num_pages)
    starts = np.cumsum(num_pages) - num_pages
    columns = np.arange(len(rows)) - starts[rows]
    in_pages = self._pages[self._of_slot[slots[rows], columns]]
    left = counts[rows] - columns * _PAGE
    return in_pages[np.arange(_PAGE) < left[:, None]], counts

  def drop(self, slots: np.ndarray) -> None:
    """Drops the packets of flows; further ones are kept from a flow's first on."""
    slots = slots[self.counts(slots) > 0]
    pages = self._of_slot[slots]
    self._free = np.concatenate([self._free, pages[pages != _NONE]])
    self._of_slot[slots] = _NONE
    self._num_packets -= int(self._counts[slots].sum())
    self._counts[slots] = 0

  def _make_room(self, num_slots: int, num_columns: int) -> None:
    rows, columns = self._of_slot.shape
    if num_slots > rows or num_columns > columns:
      more_rows = max(num_slots - rows, rows) if num_slots > rows else 0
      more_columns = max(num_columns - columns, 0)
      self._of_slot = np.pad(
        self._of_slot, ((0, more_rows), (0, more_columns)), constant_values=_NONE
      )
      self._counts = np.pad(self._counts, (0, more_rows))

  def _take(self, count: int) -> np.ndarray:
    """Takes free pages, `[count]`."""
    missing = count - len(self._free)
    if missing > 0:
      size = len(self._pages)
      more = np.zeros((max(size, missing), _PAGE), PACKET)
      self._pages = np.concatenate([self._pages, more])
      self._free = np.concatenate([self._free, np.arange(size, len(self._pages))])
    taken, self._free = self._free[:count], self._free[count:]
    return taken
