"""The one error that bad input causes."""


class InputError(ValueError):
  """Input that cannot be used.

  The message is one line. It names the file, line, flow, field or value at fault and
  says what to do. The commands print it and exit with status 1.
  """


def first_line(error: BaseException) -> str:
  """The first line of an error's message, or its type where it has no message."""
  lines = str(error).strip().splitlines()
  return lines[0][:200] if lines else type(error).__name__
