"""Tests of the command `mtl-traffic` itself."""

import pathlib
import shutil
import subprocess
import sys

import pytest

import mtl_traffic
from mtl_traffic.commands import main as command
from mtl_traffic.data import parquet
from tests.data import capture_files as files

ROOT = pathlib.Path(__file__).parents[2]
WITHOUT_JAX = """
import sys
for name in ("jax", "flax", "sklearn", "tensorflow_datasets"):
  sys.modules[name] = None
from mtl_traffic.commands.main import main
main(sys.argv[1:])
"""


def run_without_jax(*arguments):
  done = subprocess.run(
    [sys.executable, "-c", WITHOUT_JAX, *map(str, arguments)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_usage_lists_the_commands(capsys, arguments):
  command.main(arguments)
  usage = capsys.readouterr().out
  assert usage.startswith("mtl-traffic COMMAND")
  for name, meaning in command.COMMANDS.items():
    assert f"  {name} " in usage and meaning in usage


def test_version(capsys):
  command.main(["--version"])
  assert capsys.readouterr().out == f"mtl-traffic {mtl_traffic.__version__}\n"


@pytest.mark.parametrize(
  ("name", "advice"),
  [
    ("extract_flows", "did you mean extract-flows?"),
    ("pedict", "did you mean predict?"),
    ("x", "mtl-traffic --help lists them"),
    ("--model=m", "mtl-traffic --help lists them"),
  ],
)
def test_an_unknown_command_is_one_line(name, advice):
  with pytest.raises(SystemExit) as end:
    command.main([name])
  assert end.value.code == f"error: there is no command {name!r}; {advice}"


def test_the_package_runs_as_the_command():
  done = subprocess.run(
    [sys.executable, "-m", "mtl_traffic", "trian"], capture_output=True, text=True
  )
  assert (done.returncode, done.stdout) == (1, "")
  assert done.stderr == "error: there is no command 'trian'; did you mean train?\n"


@pytest.mark.parametrize("name", command.COMMANDS)
def test_help_needs_no_jax(name):
  out = run_without_jax(name, "--help")
  assert out.startswith(f"mtl-traffic {name}: ") and "\nFlags:\n" in out


def test_commands_that_learn_nothing_need_no_jax(tmp_path):
  packets = [(i * files.SECOND, files.ip_packet(payload=i)) for i in range(5)]
  (tmp_path / "a.pcap").write_bytes(files.pcap(packets))
  made, again = tmp_path / "f.parquet", tmp_path / "g.parquet"
  run_without_jax("extract-flows", f"--captures={tmp_path}/a.pcap", f"--out={made}")
  run_without_jax("export-flows", f"--dataset={made}", f"--out={again}")
  assert parquet.read(again).num_packets.tolist() == [5]
  assert parquet.read_rules(again) == parquet.read_rules(made)
  assert parquet.read_rules(again)["udp_silence_s"] == 15.0
  shutil.copytree(ROOT / "tests/comparison/golden/results", tmp_path / "runs")
  run_without_jax("report", f"--workdir={tmp_path / 'runs'}")
  assert (tmp_path / "runs/report.md").exists()
