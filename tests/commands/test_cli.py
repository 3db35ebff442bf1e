"""What all binaries share, in processes of their own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

# Runs a binary and says how often the compiler was asked, and how often in vain.
COUNTED = """
import atexit, collections, runpy
import jax

events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event]))
cache = "/jax/compilation_cache/"
atexit.register(
  lambda: print(events[cache + "cache_hits"], events[cache + "cache_misses"])
)
runpy.run_module("experiments.label_budget", run_name="__main__")
"""


def _run(*flags, **environment):
  done = subprocess.run(
    [
      *(sys.executable, "-c", COUNTED, "--config.k=6", "--config.num_seeds=2"),
      *("--config.epochs=1", "--config.test_per_class=10", *flags),
    ],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert done.returncode == 0, done.stderr
  hits, misses = done.stdout.splitlines()[-1].split()
  return int(hits), int(misses)


def test_a_second_call_compiles_nothing(tmp_path):
  budgets = "--config.labels_per_class=(5,8)"
  home = {"XDG_CACHE_HOME": str(tmp_path / "home"), "JAX_COMPILATION_CACHE_DIR": ""}
  hits, misses = _run(f"--workdir={tmp_path}/1", budgets, **home)
  assert misses > 0
  assert (tmp_path / "home/mtl_traffic/xla").is_dir()
  assert _run(f"--workdir={tmp_path}/2", budgets, **home) == (hits + misses, 0)


def test_the_cache_can_be_turned_off(tmp_path):
  home = {"XDG_CACHE_HOME": str(tmp_path / "home"), "JAX_COMPILATION_CACHE_DIR": ""}
  flags = ("--compilation_cache=", "--config.methods=('nearest_neighbor',)")
  assert _run(f"--workdir={tmp_path}/1", *flags, **home) == (0, 0)
  assert not (tmp_path / "home/mtl_traffic").exists()
