"""How results were made: date, command, commit, machine and versions of packages."""

import datetime
import functools
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping

_ROOT = pathlib.Path(__file__).parents[1]
_VERSIONED = ("jax", "flax", "optax", "numpy")


def versions() -> dict[str, str]:
  """Versions of Python and of the packages that results depend on."""
  found = {name: importlib.metadata.version(name) for name in _VERSIONED}
  return {**found, "python": platform.python_version()}


def of_call(device: str = "") -> dict[str, str]:
  """Date, command, commit and machine of this process; empty if unknown.

  Args:
    device: the accelerator; empty if the CPU computes.
  """
  cores = len(os.sched_getaffinity(0))
  machine = [_processor(), f"{cores} core{'s' * (cores != 1)}"]
  return {
    "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    "command": _command(),
    "commit": _commit(),
    "machine": ", ".join(filter(None, [*machine, device])),
  }


def sentence(call: Mapping[str, str]) -> str:
  """Describes a call in one line."""
  commit = call.get("commit") or "unknown"
  return f"{call.get('date')}, {call.get('machine')}, commit {commit}: " + str(
    call.get("command")
  )


def added(calls: list[dict], call: dict) -> list[dict]:
  """Adds a call to a list; it replaces one that differs only in the date."""

  def same(one: dict) -> dict:
    return {name: value for name, value in one.items() if name != "date"}

  return [one for one in calls if same(one) != same(call)] + [call]


def _command() -> str:
  """The command as it was typed; parsing flags may have changed `sys.argv`."""
  typed = sys.orig_argv
  if "-m" in typed:
    return shlex.join(["python", *typed[typed.index("-m") :]])
  program = sys.argv[0]
  arguments = typed[typed.index(program) + 1 :] if program in typed else sys.argv[1:]
  return shlex.join([pathlib.Path(program).name, *arguments])


@functools.cache
def _commit() -> str:
  """The commit, if this is a git checkout; with "-dirty" if files were changed."""
  if not (_ROOT / ".git").exists():
    return ""
  command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
  try:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
  except (OSError, subprocess.TimeoutExpired):
    return ""
  return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = []
  models = [line.partition(":")[2] for line in lines if line.startswith("model name")]
  return models[0].strip() if models else platform.machine()


def calls_of(config: dict) -> list[dict[str, str]]:
  """The calls that are recorded in a work directory's `config.json`."""
  calls = config.get("calls")
  if not isinstance(calls, list):
    return []
  return [
    {name: str(value) for name, value in one.items()}
    for one in calls
    if isinstance(one, dict)
  ]
