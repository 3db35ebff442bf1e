"""Code that all commands share: flags, help, set-up of JAX, exit status."""

import ast
import contextlib
import difflib
import logging
import os
import pathlib
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from mtl_traffic import data, settings
from mtl_traffic.errors import InputError, first_line
from mtl_traffic.escapes import for_terminal
from mtl_traffic.settings import Settings

if TYPE_CHECKING:
  from mtl_traffic.flows import Flows

Result = TypeVar("Result")
_CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
# Facts that absl does not store: which flags are not absl's own, which are required
# (with their meaning), and the default config.
_ours: set[str] = set()
_required: dict[str, str] = {}
_default_config: list[str] = []


def define_required(name: str, meaning: str) -> None:
  """Defines a required flag that takes a text."""
  flags.DEFINE_string(name, None, f"{meaning[0].upper()}{meaning[1:]}; required.")
  _required[name] = meaning


def define_config(default: str) -> None:
  """Defines --config: settings by name or from a file; --config.NAME changes one."""
  config_flags.DEFINE_config_file(
    "config",
    None,  # With a default, absl would read the file before the flags.
    f"Settings: {', '.join(config_names())}, or the path of a Python file; "
    f"--config.NAME=VALUE changes one setting. {default} by default.",
  )
  _default_config[:] = [default]


def define_dataset(
  instead: str = "", default: str = "The config's by default."
) -> None:
  """Defines the flags that `load_flows` reads.

  Args:
    instead: beginning of the help text, if the dataset replaces another flag.
    default: end of the help text, on what happens without the flag.
  """
  flags.DEFINE_string(
    "dataset",
    None,
    f"{instead}'simulated', {', '.join(data.BUILDERS)}, or the path of a Parquet file "
    f"of flows. {default}",
  )
  flags.DEFINE_string(
    "data_dir",
    None,
    "Folder in which TFDS keeps prepared datasets; TFDS's own default if not given.",
  )
  flags.DEFINE_string(
    "manual_dir",
    None,
    "Folder with the files of a dataset, instead of downloading them.",
  )


def config_names() -> list[str]:
  """The configs that can be given by name."""
  names = (path.stem for path in _CONFIGS.glob("*.py"))
  return sorted(name for name in names if name not in ("__init__", "common"))


def chosen_settings() -> Settings:
  """The settings of --config.

  Raises:
    InputError: a setting is unknown or has an invalid value.
  """
  try:
    return Settings.of(flags.FLAGS.config)
  except InputError as error:
    raise InputError(f"--config: {error}") from None


@contextlib.contextmanager
def naming(flag: str) -> Iterator[None]:
  """Adds the name of a flag to the message of an InputError."""
  try:
    yield
  except InputError as error:
    raise InputError(f"{flag}: {error}") from None


class Problems:
  """Collects problems of several inputs, to report them together.

  As a context manager it catches an `InputError` raised in its block.
  """

  def __init__(self):
    self._told: list[str] = []

  def of(self, check: Callable[[], Result]) -> Result | None:
    """The result of a function; None if it raises an InputError, which is collected."""
    with self:
      return check()
    return None

  def tell(self) -> None:
    """Raises one InputError that lists all problems, if there are any."""
    if self._told:
      raise InputError("; ".join(self._told))

  def __enter__(self) -> "Problems":
    return self

  def __exit__(self, kind, error, trace) -> bool:
    if isinstance(error, InputError):
      self._told.append(str(error))
      return True
    return False


def is_changed(name: str) -> bool:
  """Whether the flag --config.NAME was given."""
  return name in config_flags.get_override_values(flags.FLAGS["config"])


def load_flows(
  default: str, max_packets: int | None = None, group_by: str = ""
) -> "tuple[str, Flows]":
  """The name and the flows of the dataset that the flags name, or else of `default`."""
  dataset = flags.FLAGS.dataset or default
  # A file is called by its name only: results do not depend on its folder.
  return pathlib.Path(dataset).stem, data.load(
    dataset,
    max_packets,
    data_dir=flags.FLAGS.data_dir,
    manual_dir=flags.FLAGS.manual_dir,
    group_by=group_by,
  )


def run(
  main: Callable[[], None],
  define_flags: Callable[[], None],
  *,
  name: str,
  about: str,
  arguments: Sequence[str] | None = None,
  uses_jax: bool = True,
) -> None:
  """Runs a command. Bad input ends it with one line and status 1.

  Args:
    main: the function to run after the flags are parsed.
    define_flags: defines the flags.
    name: the command as the user typed it.
    about: a description for --help.
    arguments: the arguments after the name; those of the process by default.
    uses_jax: whether to set up JAX.
  """
  others = set(flags.FLAGS)
  define_flags()
  if uses_jax:
    _define_jax_flags()
  _ours.update(set(flags.FLAGS) - others)

  def parse(argv: Sequence[str]) -> Sequence[str]:
    try:
      argv = _joined(argv)
      if {"--help", "-help", "-h", "--helpshort", "--helpfull"} & set(argv[1:]):
        sys.stdout.write(_help(argv, name, about))
        sys.exit(0)
      return _parse(argv)
    except InputError as error:
      sys.exit(f"error: {for_terminal(error)} ({name} --help lists the options)")

  def guarded(argv: Sequence[str]) -> None:
    try:
      if len(argv) > 1:
        raise InputError(
          f"unexpected argument {argv[1]!r}; options are written --NAME=VALUE"
        )
      if uses_jax:
        _set_up_jax()
      main()
    except InputError as error:
      sys.exit(f"error: {for_terminal(error)}")
    except OSError as error:  # A full disk, or a pipe whose reader has ended.
      sys.exit(f"error: {for_terminal(first_line(error))}")
    except KeyboardInterrupt:
      sys.exit(130)

  # JAX would log every backend that it does not find.
  logging.getLogger("jax").setLevel(logging.WARNING)
  absl_logging.get_absl_handler().addFilter(_made_plain)
  arguments = sys.argv[1:] if arguments is None else arguments
  app.run(guarded, argv=[name, *arguments], flags_parser=parse)


def _joined(argv: Sequence[str]) -> list[str]:
  """The arguments with `--config NAME` written `--config=NAME`, without a lone `--`."""
  joined: list[str] = []
  for argument in argv:
    if joined and joined[-1] in ("--config", "-config") and argument[:1] != "-":
      joined[-1] += f"={argument}"
    elif argument != "--":
      joined.append(argument)
  return joined


def _parse(argv: Sequence[str]) -> Sequence[str]:
  """Parses the flags.

  Raises:
    InputError: naming the flag at fault.
  """
  if "config" in flags.FLAGS:
    # `config_flags` looks for overrides in `sys.argv`.
    sys.argv = argv = _with_config(argv)
  try:
    rest = flags.FLAGS(argv)
    if "config" in flags.FLAGS:
      flags.FLAGS.config.keys()  # Raises here if the file did not load.
  except flags.UnrecognizedFlagError as error:
    close = difflib.get_close_matches(error.flagname, _ours, n=1)
    advice = f"; did you mean --{close[0]}?" if close else ""
    raise InputError(f"there is no flag --{error.flagname}{advice}") from None
  except flags.IllegalFlagValueError as error:
    raise InputError(_illegal(str(error))) from None
  except flags.Error as error:
    raise InputError(" ".join(str(error).split())) from None
  except ValueError as error:
    raise InputError(str(error)) from None
  except Exception as error:  # A config is a program, which may raise anything.
    path = argv[1].partition("=")[2]
    raise InputError(_unusable(path, f"{type(error).__name__}: {error}")) from None
  missing = [
    f"--{flag} is missing: {meaning}"
    for flag, meaning in _required.items()
    if not flags.FLAGS[flag].value
  ]
  if missing:
    raise InputError("; ".join(missing))
  return rest


def _with_config(argv: Sequence[str]) -> list[str]:
  """The arguments, with the name of a config replaced by its path.

  Raises:
    InputError: there is no such config or setting.
  """
  if {"--config", "-config"} & set(argv[1:]):
    raise InputError(f"--config lacks its value: {', '.join(config_names())} or a file")
  given = [a.partition("=")[2] for a in argv if re.match("--?config=", a)]
  config = given[-1] if given else _default_config[0]
  names = config_names()
  if config in names:
    path = _CONFIGS / f"{config}.py"
  else:
    path = pathlib.Path(config)
  if not path.is_file():
    close = difflib.get_close_matches(config, names, n=1)
    meant = f"did you mean {close[0]}? There are " if close else "there are "
    raise InputError(
      f"--config={config}: no such config; {meant}{', '.join(names)}, and files"
    )
  for argument in argv[1:]:
    changed = re.match(r"--?config\.([^=]*)", argument)
    if changed and changed[1] not in settings.NAMES:
      raise InputError(f"--config.{changed[1]}: {settings.unknown_setting(changed[1])}")
  others = [_quoted(a) for a in argv[1:] if not re.match("--?config=", a)]
  return [argv[0], f"--config={path}", *others]


def _quoted(argument: str) -> str:
  """Quotes values of tuple settings: `--config.methods=a,b` becomes `=("a","b")`."""
  name, equals, value = argument.partition("=")
  name = name.lstrip("-").removeprefix("config.")
  if not (equals and "config." in argument and settings.is_tuple(name)):
    return argument
  with contextlib.suppress(ValueError, SyntaxError):
    ast.literal_eval(value)
    return argument
  quoted = re.sub(r"(?<![\w.'\"])[A-Za-z_][\w-]*", lambda word: repr(word[0]), value)
  with contextlib.suppress(ValueError, SyntaxError):
    ast.literal_eval(quoted or "()")
    return f"--config.{name}={quoted or '()'}"
  return argument


def _illegal(message: str) -> str:
  """Turns absl's message about an invalid value into one that says what is allowed."""
  given = re.match(r"flag --?([\w.]+)=(.*?): (.*)", message, re.DOTALL)
  if not given:
    return " ".join(message.split())
  name, value, why = given.groups()
  if name == "config":
    # The message contains a traceback; its last error is the cause.
    return _unusable(value, [why, *re.findall(r"^\w+: .*", why, re.MULTILINE)][-1])
  if name.startswith("config."):
    allowed = settings.allowed(name.removeprefix("config."))
  else:
    allowed = flags.FLAGS[name].parser.syntactic_help
  return f"--{name}={value}: {f'must be {allowed}' if allowed else why}"


def _unusable(config: str, why: str) -> str:
  return (
    f"--config={config} cannot be used ({' '.join(why.split())}); its get_config() "
    "must return what mtl_traffic.configs.common.get_config() returns, with other "
    "values"
  )


def _help(argv: Sequence[str], name: str, about: str) -> str:
  """The help text: every flag and setting with its default and meaning."""
  lines = [f"{name}: {about.strip()}", "", "Flags:"]
  for flag in sorted(_ours):
    holder = flags.FLAGS[flag]
    default = "" if holder.default in (None, "") else f" (default: {holder.default})"
    lines.append(_entry(f"--{flag}", f"{holder.help}{default}"))
  if "config" in flags.FLAGS:
    given = [a for a in argv if re.match("--?config[.=]", a)]
    _parse_config_alone([argv[0], *given])
    config = flags.FLAGS.config
    lines += ["", "Settings, with their values in this config (--config.NAME=VALUE):"]
    lines += [
      _entry(f"{field.name} = {config[field.name]!r}", field.metadata["meaning"])
      for field in settings.FIELDS
      if field.name in config
    ]
  return "\n".join(lines) + "\n"


def _parse_config_alone(argv: list[str]) -> None:
  required = dict(_required)
  _required.clear()
  try:
    _parse(argv)
  finally:
    _required.update(required)


def _entry(head: str, meaning: str) -> str:
  width = 88
  head = textwrap.shorten(head, width - 2, placeholder=" …")
  body = textwrap.fill(
    " ".join(meaning.split()), width, initial_indent=" " * 6, subsequent_indent=" " * 6
  )
  return f"  {head}\n{body}"


def _define_jax_flags() -> None:
  with contextlib.suppress(flags.DuplicateFlagError):
    flags.DEFINE_string(
      "compilation_cache",
      None,
      "Folder in which compiled programs are kept for the next call; empty = not kept. "
      "By default JAX_COMPILATION_CACHE_DIR, or else mtl_traffic/xla in the user's "
      "cache folder.",
    )
    flags.DEFINE_integer(
      "cpu_devices",
      None,
      "Number of JAX devices into which the CPU is divided; each trains its own runs. "
      "By default one per core that this process may use.",
      lower_bound=1,
    )


def _made_plain(record: logging.LogRecord) -> bool:
  """Escapes names in log messages, so that they cannot control a terminal."""
  record.msg, record.args = for_terminal(record.getMessage()), ()
  return True


def _cache_of_user() -> str | None:
  """The user's folder of compiled programs; None if the user has no home."""
  home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  # The path keeps its "~" if HOME is unset and the user is not in the user database.
  return None if home.startswith("~") else f"{home}/mtl_traffic/xla"


def _set_up_jax() -> None:
  """Sets the number of CPU devices and the compilation cache, before JAX starts."""
  import jax

  if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    cores = len(os.sched_getaffinity(0))
    jax.config.update("jax_num_cpu_devices", flags.FLAGS.cpu_devices or cores)
  cache = flags.FLAGS.compilation_cache
  if cache is None:
    cache = jax.config.jax_compilation_cache_dir or _cache_of_user()
  jax.config.update("jax_compilation_cache_dir", cache or None)
  # Cache small programs too: a table needs over a hundred of them.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
