"""The error that bad input raises, and a subclass for diverged training."""

from collections.abc import Sequence


class InputError(ValueError):
  """Input that cannot be used.

  The message is one line. It names the file, line, flow, field or value at fault and
  says what to do. The commands print it and exit with status 1.
  """


class DivergedError(InputError):
  """Training diverged: the loss or a parameter is not finite.

  Attributes:
    runs: the indices of the runs that diverged.
    epoch: the epoch after which this was found, counted from 1.
  """

  def __init__(self, runs: Sequence[int], epoch: int):
    super().__init__(
      f"the loss or a parameter is not finite after epoch {epoch}; take a smaller "
      "learning rate"
    )
    self.runs, self.epoch = tuple(runs), epoch


def first_line(error: BaseException) -> str:
  """The first line of an error's message, or its type if the message is empty."""
  lines = str(error).strip().splitlines()
  return lines[0][:200] if lines else type(error).__name__
