"""Names packets by the file they stand in and their number there."""

import numpy as np


class FileNames:
  """The files of one capture, which its packets are numbered through."""

  def __init__(self):
    self.names: list[str] = []
    self._before: list[int] = []  # How many packets stand before each file.

  def begin(self, name: str, num_before: int) -> None:
    """Notes that a file begins after so many packets."""
    self.names.append(name)
    self._before.append(num_before)

  def of(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the files in which packets stand, and their numbers there."""
    before = np.array(self._before)
    indices = np.searchsorted(before, numbers) - 1
    return indices, numbers - before[indices]
