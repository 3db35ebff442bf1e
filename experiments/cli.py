"""What all experiment binaries share: flags, how JAX is set up, the exit status."""

import logging
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import jax
from absl import app, flags
from ml_collections import config_flags

from mtl_traffic import data
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows

_COMPILATION_CACHE = flags.DEFINE_string(
  "compilation_cache",
  None,
  "Where compiled programs are kept for the next time; empty = nowhere. By default "
  "JAX_COMPILATION_CACHE_DIR, or else mtl_traffic/xla in the user's cache directory.",
)
_CPU_DEVICES = flags.DEFINE_integer(
  "cpu_devices",
  None,
  "Devices that a CPU counts as; the runs of a program are laid over them. By default "
  "one for each core that this process may use.",
  lower_bound=1,
)


def config_flag(default: str) -> flags.FlagHolder:
  """Defines --config, a file of settings that other flags can change one by one."""
  return config_flags.DEFINE_config_file(
    "config",
    str(pathlib.Path(__file__).parent / "configs" / default),
    "The settings; --config.NAME=VALUE changes one.",
  )


def _dataset_flags() -> None:
  flags.DEFINE_string(
    "dataset",
    None,
    f"'simulated', {', '.join(data.BUILDERS)}, or the path of a Parquet file of flows. "
    "The config's by default.",
  )
  flags.DEFINE_string(
    "data_dir",
    None,
    "Where TFDS keeps prepared datasets; its own default if not given.",
  )
  flags.DEFINE_string(
    "manual_dir",
    None,
    "Where the files of a dataset lie, if they are not to be fetched.",
  )


def load_flows(default: str, max_packets: int | None = None) -> tuple[str, Flows]:
  """The dataset that the flags name, or else `default`: its name and its flows."""
  dataset = flags.FLAGS.dataset or default
  # A file goes by its name: where it lies says nothing about what the results mean.
  return pathlib.Path(dataset).stem, data.load(
    dataset,
    max_packets,
    data_dir=flags.FLAGS.data_dir,
    manual_dir=flags.FLAGS.manual_dir,
  )


def run(main: Callable[[Sequence[str]], None], reads_dataset: bool = True) -> None:
  """Runs a binary; bad input ends it with one line and status 1.

  Args:
    main: what to run.
    reads_dataset: whether it calls `load_flows`, and so has the flags of that.
  """

  def guarded(argv: Sequence[str]) -> None:
    try:
      if len(argv) > 1:
        raise InputError(f"unexpected argument {argv[1]!r}; options start with --")
      _set_up_jax()
      main(argv)
    except InputError as error:
      sys.exit(f"error: {error}")
    except KeyboardInterrupt:
      sys.exit(130)

  if reads_dataset:
    _dataset_flags()
  # So that --helpshort lists the options of this package, wherever they are defined.
  for module, defined in flags.FLAGS.flags_by_module_dict().items():
    for flag in defined if module.startswith("experiments.") else ():
      flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  # JAX reports every backend that it does not find.
  logging.getLogger("jax").setLevel(logging.WARNING)
  app.run(guarded, flags_parser=_parse_flags)


def _set_up_jax() -> None:
  """Before JAX looks for devices: a device for each core, and the compiler's cache."""
  if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    cores = len(os.sched_getaffinity(0))
    jax.config.update("jax_num_cpu_devices", _CPU_DEVICES.value or cores)
  cache = _COMPILATION_CACHE.value
  if cache is None:
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    cache = jax.config.jax_compilation_cache_dir or f"{home}/mtl_traffic/xla"
  jax.config.update("jax_compilation_cache_dir", cache or None)
  # Small programs too: a table takes over a hundred of them.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _parse_flags(argv: Sequence[str]) -> Sequence[str]:
  try:
    rest = flags.FLAGS(argv)
    if "config" in flags.FLAGS:
      flags.FLAGS.config.keys()  # A file that did not load says so when it is used.
    return rest
  except AttributeError as error:  # What a ConfigDict says of an unknown field.
    problem = f"the config has no setting {error}"
  except (flags.Error, OSError, ImportError) as error:
    problem = " ".join(str(error).split())
  sys.exit(f"error: {problem}; --helpshort lists the options")
