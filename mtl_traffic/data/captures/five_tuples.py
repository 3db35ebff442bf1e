"""Batches of packets sorted by five-tuple."""

import dataclasses
import functools

import numpy as np

from mtl_traffic.data.captures.decoding import ACK, RST, SYN
from mtl_traffic.data.captures.headers import KEY_WORDS, TCP


@dataclasses.dataclass(frozen=True)
class Sorted:
  """A batch sorted by five-tuple, and by time within each five-tuple."""

  clock: np.ndarray
  times: np.ndarray
  keys: np.ndarray
  flags: np.ndarray
  from_first: np.ndarray
  is_first: np.ndarray  # Whether a packet is the first of its five-tuple.

  @functools.cached_property
  def group(self) -> np.ndarray:
    return np.cumsum(self.is_first) - 1

  @functools.cached_property
  def is_tcp(self) -> np.ndarray:
    return has_tcp(self.keys)

  @functools.cached_property
  def is_syn(self) -> np.ndarray:
    return self.is_tcp & (self.flags & (SYN | ACK | RST) == SYN)

  def since_previous(
    self, times: np.ndarray, is_open: np.ndarray, before: np.ndarray
  ) -> np.ndarray:
    """Times since the previous packet of the five-tuple; 0 where no flow is open."""
    previous = np.empty_like(times)
    previous[1:] = times[:-1]
    previous[self.is_first] = np.where(is_open, before, times[self.is_first])
    return times - previous


def by_five_tuple(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """A stable sort order by five-tuple, and where in it each five-tuple begins."""
  n = len(keys)
  # Hash and place form one number. Sorting it is stable, and faster than by keys.
  bits = np.uint64(max(n - 1, 1).bit_length())
  places = np.sort(hashes(keys) >> bits << bits | np.arange(n, dtype=np.uint64))
  order = (places & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
  is_first = np.ones(n, bool)
  is_first[1:] = places[1:] >> bits != places[:-1] >> bits
  differs = _differs(keys[order])
  if (differs & ~is_first[1:]).any():  # Two five-tuples have the same hash.
    order = np.lexsort(keys.T)
    is_first[1:] = _differs(keys[order])
  return order, is_first


def _differs(keys: np.ndarray) -> np.ndarray:
  differs = np.zeros(len(keys) - 1, bool)
  for word in keys.T:
    differs |= word[1:] != word[:-1]
  return differs


def hashes(keys: np.ndarray) -> np.ndarray:
  """64-bit hashes of five-tuples; the upper bits are mixed best."""
  mix = np.uint64(0x9E3779B97F4A7C15)
  hashes = np.zeros(len(keys), np.uint64)
  for word in keys.T:
    hashes = (hashes ^ word) * mix
    hashes ^= hashes >> np.uint64(32)
  return hashes * mix


def has_tcp(keys: np.ndarray) -> np.ndarray:
  """Whether the protocol of keys `[m, 5]` is TCP, `[m]` bool."""
  return keys[:, KEY_WORDS - 1] >> np.uint64(8) & np.uint64(0xFF) == TCP
