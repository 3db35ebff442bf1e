"""The one error that bad input causes, and a kind of it."""

from collections.abc import Sequence


class InputError(ValueError):
  """Input that cannot be used.

  The message is one line. It names the file, line, flow, field or value at fault and
  says what to do. The commands print it and exit with status 1.
  """


class DivergedError(InputError):
  """Training came to numbers that are not finite.

  Attributes:
    runs: which ones of the runs, by their place.
    epoch: when, from 1 on.
  """

  def __init__(self, runs: Sequence[int], epoch: int):
    super().__init__(
      f"the loss or a parameter is not finite after epoch {epoch}; take a smaller "
      "learning rate"
    )
    self.runs, self.epoch = tuple(runs), epoch


def first_line(error: BaseException) -> str:
  """The first line of an error's message, or its type where it has no message."""
  lines = str(error).strip().splitlines()
  return lines[0][:200] if lines else type(error).__name__
