"""Tests of what all commands share, in separate processes."""

import itertools
import os
import pathlib
import subprocess
import sys

import pytest

from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.settings import FIELDS

ROOT = pathlib.Path(__file__).parents[2]

# Runs a command; prints the number of compilations, and of misses of the cache.
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


def _run(name, *arguments, cwd=ROOT, **environment):
  return subprocess.run(
    [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)],
    cwd=cwd,
    env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    capture_output=True,
    text=True,
    timeout=300,
  )


def _compiled(*flags, **environment):
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
  hits, misses = _compiled(f"--workdir={tmp_path}/1", budgets, **home)
  assert misses > 0
  assert (tmp_path / "home/mtl_traffic/xla").is_dir()
  assert _compiled(f"--workdir={tmp_path}/2", budgets, **home) == (hits + misses, 0)


def test_the_cache_can_be_turned_off(tmp_path):
  home = {"XDG_CACHE_HOME": str(tmp_path / "home"), "JAX_COMPILATION_CACHE_DIR": ""}
  flags = ("--compilation_cache=", "--config.methods=nearest_neighbor")
  assert _compiled(f"--workdir={tmp_path}/1", *flags, **home) == (0, 0)
  assert not (tmp_path / "home/mtl_traffic").exists()


def _refused(done, workdir):
  """Checks that a run was refused without leaving files; returns its error line."""
  assert done.returncode == 1, done.stderr
  assert done.stdout == ""
  assert "Traceback" not in done.stderr
  (line,) = done.stderr.splitlines()
  assert line.startswith("error: ")
  assert not workdir.exists()
  return line


@pytest.mark.parametrize(
  ("arguments", "messages"),
  [
    # Settings that do not exist or have invalid values.
    (["--config.num_sedes=3"], ["--config.num_sedes", "did you mean num_seeds?"]),
    (["--config.k.x=3"], ["--config.k.x: there is no setting 'k.x'"]),
    (
      ["--config.first_seed=4294967296"],
      ["--config: first_seed = 4294967296 must be at most 2147483646"],
    ),
    (["--config.lambda_=nan"], ["--config: lambda_ = nan must be a number"]),
    (["--config.k=six"], ["--config.k=six: must be a whole number"]),
    (["--config.k", "6.5"], ["--config.k=6.5: must be a whole number"]),
    (["--config.signed_lengths=no way"], ["no way: must be True or False"]),
    (
      ["--config.k=-1", "--config.epochs=0", "--config.labels_per_class=ten"],
      [
        "k = -1 must be at least 0",
        "epochs = 0 must be at least 1",
        "labels_per_class = ('ten',) must be numbers above 0, or 'all'",
      ],
    ),
    (["--config.methods=multitask,magic"], ["method 'magic' is unknown; there are"]),
    (["--config.methods="], ["methods = () must be some, each once"]),
    # Configs that do not exist or cannot be used.
    (["--config=ucdvis"], ["--config=ucdvis: no such config; did you mean ucdavis?"]),
    (
      ["--config", "/none.py"],
      ["--config=/none.py: no such config; there are cesnet_tc_transfer, iot_devices"],
    ),
    (["--config"], ["--config lacks its value"]),
    (["--config", "--config.k=9"], ["--config lacks its value"]),
    # Flags that do not exist or have invalid values.
    (["--wrkdir=x"], ["there is no flag --wrkdir; did you mean --workdir?"]),
    (["--noworkdir"], ["there is no flag --noworkdir; did you mean --workdir?"]),
    (["--cpu_devices=x"], ["--cpu_devices=x: must be a positive integer"]),
    (["extra"], ["unexpected argument 'extra'; options are written --NAME=VALUE"]),
    (["config.k=9"], ["unexpected argument 'config.k=9'"]),
    (["--", "extra"], ["unexpected argument 'extra'"]),
    (["--dataset=nope"], ["dataset 'nope' is unknown; give simulated"]),
  ],
)
def test_a_command_line_that_cannot_be_is_one_line(tmp_path, arguments, messages):
  done = _run("label_budget", f"--workdir={tmp_path / 'w'}", *arguments)
  line = _refused(done, tmp_path / "w")
  for message in messages:
    assert message in line


@pytest.mark.parametrize(
  ("name", "setting", "message"),
  [
    ("packet_budget", "packet_budgets=ten,60", "must be whole numbers, as in (5, 8)"),
    ("packet_budget", "packet_budgets=()", "must be some, each once"),
    ("lambda_sweep", "lambdas=(0.1,-1)", "lambdas = (0.1, -1) must be at least 0"),
    ("learning_rate_sweep", "learning_rates=0,", "must be at least 1e-12"),
    ("divider_sweep", "divider_rows=((1,2),)", "must be pairs of dividers, as in"),
    ("auxiliary_tasks", "task_sets=bursts,", "must be tuples of names, as in"),
  ],
)
def test_what_a_sweep_cannot_go_through_is_named(tmp_path, name, setting, message):
  done = _run(name, f"--workdir={tmp_path / 'w'}", f"--config.{setting}")
  assert message in _refused(done, tmp_path / "w")


@pytest.mark.parametrize("arguments", [[], ["--workdir="], ["--config=ucdavis"]])
def test_a_missing_workdir_is_named(tmp_path, arguments):
  line = _refused(_run("label_budget", *arguments), tmp_path / "w")
  assert line.startswith("error: --workdir is missing: where results go")


BROKEN = {
  "syntax": ("def get_config(: pass", "SyntaxError: "),
  "nothing": ("x = 1", "no attribute 'get_config'"),
  "raising": (
    "def get_config():\n  raise ValueError('bad\\nthing')",
    "ValueError: bad",
  ),
  "number": ("def get_config():\n  return 5", "cannot be used"),
  "unknown": (
    "from mtl_traffic.configs import common\n"
    "def get_config():\n"
    "  config = common.get_config()\n"
    "  config.num_sedes = 3\n"
    "  return config\n",
    "there is no setting 'num_sedes'; did you mean num_seeds?",
  ),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("changed", [[], ["--config.k=9"]])
def test_a_config_that_cannot_be_used_is_one_line(tmp_path, kind, changed):
  text, message = BROKEN[kind]
  path = tmp_path / f"{kind}.py"
  path.write_text(text)
  arguments = (f"--config={path}", f"--workdir={tmp_path / 'w'}", *changed)
  line = _refused(_run("label_budget", *arguments), tmp_path / "w")
  assert message in line
  if kind != "unknown":
    assert f"--config={path} cannot be used" in line


SHOWN = """
import sys
from mtl_traffic.commands import cli
from absl import flags

def main():
  print([getattr(cli.chosen_settings(), name) for name in {names}])

def define_flags():
  cli.define_config("simulated")

cli.run(main, define_flags, name="shown", about="", uses_jax=False)
"""


def _shown(names, *arguments, cwd=ROOT):
  done = subprocess.run(
    [sys.executable, "-c", SHOWN.format(names=names), *arguments],
    cwd=cwd,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout.strip()


@pytest.mark.parametrize(
  ("name", "typed", "meant"),
  [
    ("labels_per_class", "all", ("all",)),
    ("labels_per_class", "10", (10,)),
    ("labels_per_class", "10,20", (10, 20)),
    ("labels_per_class", "(10,'all')", (10, "all")),
    ("labels_per_class", "10,all", (10, "all")),
    ("labels_per_class", "(10, all)", (10, "all")),
    ("methods", "multitask", ("multitask",)),
    ("methods", "multitask,single_task", ("multitask", "single_task")),
    ("methods", '("multitask",)', ("multitask",)),
    ("tasks", "", ()),
    ("task_sets", "(),(bursts,duration)", ((), ("bursts", "duration"))),
    ("lambdas", "1e-1,2", (0.1, 2)),
  ],
)
def test_several_values_can_be_typed_without_quotes(name, typed, meant):
  assert _shown([name], f"--config.{name}={typed}") == str([meant])


def test_a_config_is_found_by_name_or_path_from_anywhere(tmp_path):
  names = ["dataset", "num_seeds"]
  (tmp_path / "ucdavis").mkdir()  # A name is not a path.
  assert _shown(names, "--config=ucdavis", cwd=tmp_path) == "['ucdavis_icdm19', 20]"
  assert _shown(names, "--config", "iscx", cwd=tmp_path) == "['iscx_vpn2016', 20]"
  assert _shown(names, cwd=tmp_path) == "['simulated', 3]"
  own = (
    "from mtl_traffic.configs import iscx\n"
    "def get_config():\n"
    "  config = iscx.get_config()\n"
    "  config.num_seeds = 7\n"
    "  return config\n"
  )
  (tmp_path / "mine.py").write_text(own)
  for path in ("mine.py", tmp_path / "mine.py"):
    shown = _shown(names, f"--config={path}", "--config.num_seeds=8", cwd=tmp_path)
    assert shown == "['iscx_vpn2016', 8]"


def test_options_may_come_after_two_dashes():
  assert _shown(["k"], "--", "--config.k=9") == "[9]"


HELP = """
import runpy, sys
sys.argv = [{name!r}, "--help", "--config=ucdavis", "--config.k=77"]
try:
  runpy.run_module("experiments.{name}", run_name="__main__")
finally:
  print("JAX" if "jax" in sys.modules else "no JAX")
"""


@pytest.mark.parametrize("name", [*EXPERIMENTS, "paper", "flow_statistics"])
def test_help_lists_every_option_and_setting_without_jax(name):
  done = subprocess.run(
    [sys.executable, "-c", HELP.format(name=name)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0, done.stderr
  *lines, last = done.stdout.splitlines()
  assert last == "no JAX"
  assert lines[0].startswith(f"python -m experiments.{name}: ")
  heads = [line.strip() for line in lines if line[:2] == "  " and line[2] != " "]
  flags = {"dataset", "data_dir", "manual_dir", "workdir"}
  flags |= {"compilation_cache", "cpu_devices"}
  if name == "flow_statistics":
    assert {f"--{flag}" for flag in flags | {"partitions"}} == set(heads)
    return
  flags |= {"config"} | ({"methods"} if name == "paper" else set())
  assert {head for head in heads if head.startswith("--")} == {f"--{f}" for f in flags}
  settings = dict(head.split(" = ") for head in heads if " = " in head)
  assert list(settings) == [field.name for field in FIELDS]
  assert settings["k"] == "77"
  assert settings["train_partition"] == "'pretraining'"
  # Each has at least one line of help.
  for line, after in itertools.pairwise(lines):
    if line.strip() in heads:
      assert after.startswith("      ")
