"""The one error that bad input causes."""


class InputError(ValueError):
  """Input that cannot be used.

  The message is one line that names the file, line, flow or field at fault and says
  what to do. The experiment binaries print it and exit with status 1.
  """
