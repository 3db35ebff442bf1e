"""Remembers the ports of fragmented packets: only the first fragment carries them."""

from collections.abc import Hashable

_LIFETIME = 60 * 10**9  # ns that a host waits for the rest of a packet (RFC 8200).
_MOST = 1 << 14  # Fragmented packets that are remembered; bounds memory.


class Fragments:
  """Remembers the first fragments of recent packets."""

  def __init__(self):
    self._packets: dict[Hashable, tuple[int, tuple]] = {}

  def begin(self, packet: Hashable, time: int, known: tuple) -> None:
    """Notes a first fragment, seen at `time` in ns."""
    self._packets.pop(packet, None)  # Reinserted as the newest entry of the dict.
    self._packets[packet] = (time, known)
    if len(self._packets) > _MOST:
      del self._packets[next(iter(self._packets))]

  def find(self, packet: Hashable, time: int) -> tuple | None:
    """What is known from the packet's first fragment, if that came in time."""
    begun, known = self._packets.get(packet, (None, None))
    if begun is None or abs(time - begun) > _LIFETIME:
      return None
    return known
