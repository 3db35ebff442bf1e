"""The command `mtl-traffic`, which runs its subcommands."""

import difflib
import importlib
import sys

COMMANDS = {
  "extract-flows": "turns captures into a Parquet file of flows",
  "suggest-labels": "suggests which flows to label",
  "train": "trains and saves a model, with a report on its accuracy",
  "predict": "classifies the flows of captures, pipes and interfaces",
  "evaluate": "measures the accuracy of a model on labelled captures or flows",
  "info": "describes a trained model and checks that it is undamaged",
  "export-flows": "writes any dataset as a Parquet file of flows",
  "export-model": "writes a model as one file that runs with JAX alone",
  "report": "writes a report of the experiments that were run",
}


def main(argv: list[str] | None = None) -> None:
  """Runs a subcommand.

  Args:
    argv: the subcommand and its arguments; those of the process by default.
  """
  from mtl_traffic import __version__

  argv = sys.argv[1:] if argv is None else argv
  name, *arguments = argv or ["--help"]
  if name in ("--help", "-h", "help"):
    print(_usage())
    return
  if name == "--version":
    print(f"mtl-traffic {__version__}")
    return
  if name not in COMMANDS:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    advice = f"did you mean {close[0]}?" if close else "mtl-traffic --help lists them"
    sys.exit(f"error: there is no command {name!r}; {advice}")
  module = importlib.import_module(f"mtl_traffic.commands.{name.replace('-', '_')}")
  from mtl_traffic.commands import cli

  argument = getattr(module, "ARGUMENT", None)
  if argument and arguments and not arguments[0].startswith("-"):
    arguments[0] = f"--{argument}={arguments[0]}"
  cli.run(
    module.main,
    module.define_flags,
    name=f"mtl-traffic {name}",
    about=module.__doc__,
    arguments=arguments,
    uses_jax=module.USES_JAX,
  )


def _usage() -> str:
  width = max(map(len, COMMANDS))
  lines = [f"  {name:{width}}  {meaning}" for name, meaning in COMMANDS.items()]
  return "\n".join(
    [
      "mtl-traffic COMMAND [--FLAG=VALUE ...]",
      "",
      *lines,
      "",
      "mtl-traffic COMMAND --help lists the options of one.",
    ]
  )


if __name__ == "__main__":
  main()
