"""Names packets by their file and their number in it."""

import numpy as np


class FileNames:
  """The files of one capture; its packets are numbered across all of them."""

  def __init__(self):
    self.names: list[str] = []
    self._before: list[int] = []  # How many packets stand before each file.

  def begin(self, name: str, num_before: int) -> None:
    """Notes that a file begins after so many packets."""
    self.names.append(name)
    self._before.append(num_before)

  def of(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each packet's file, and the packet's number in that file."""
    before = np.array(self._before)
    indices = np.searchsorted(before, numbers) - 1
    return indices, numbers - before[indices]
