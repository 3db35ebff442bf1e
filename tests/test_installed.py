"""What is built from the tree, installed and used where there is no tree."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from tests.data import capture_files as files

ROOT = pathlib.Path(__file__).parents[1]
# What a working copy has beside the project.
OTHERS = (".*", "*.egg-info", "__pycache__", "build", "dist", "runs", "shared", "venv")
DISTRIBUTED = ("mtl_traffic", "experiments", "benchmarks", "tests", "docs")

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""
CLASSES = ("call", "mail")


def build(kind, tree, folder) -> pathlib.Path:
  done = subprocess.run(
    [sys.executable, "-c", BUILD, f"build_{kind}", folder],
    cwd=tree,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
  """A copy of the project, in which building leaves nothing behind."""
  folder = tmp_path_factory.mktemp("tree") / "tree"
  return shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*OTHERS))


@pytest.fixture(scope="module")
def source(tree, tmp_path_factory):
  """The unpacked source distribution."""
  reason = "the extra test brings what wheels are built with"
  pytest.importorskip("setuptools", minversion="70.1", reason=reason)
  folder = tmp_path_factory.mktemp("sdist")
  with tarfile.open(build("sdist", tree, folder)) as archive:
    archive.extractall(folder / "unpacked", filter="data")
  (unpacked,) = (folder / "unpacked").iterdir()
  return unpacked


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
  return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
  """The Python of an environment with the wheel, and the dependencies of this one."""
  pytest.importorskip("pip", reason="installs the wheel")
  folder = tmp_path_factory.mktemp("installed") / "venv"
  create = [sys.executable, "-m", "venv", "--without-pip", folder]
  subprocess.run(create, check=True)
  python = folder / "bin" / "python"
  install = ("install", "--quiet", "--no-deps", "--no-index", wheel)
  subprocess.run(
    [sys.executable, "-m", "pip", "--python", python, *install], check=True
  )
  (packages,) = folder.glob("lib/python*/site-packages")
  # What a .pth file adds is searched last, and its own .pth files, of an editable
  # installation for one, are not read.
  others = [path for path in sys.path if path.endswith("-packages")]
  (packages / "dependencies.pth").write_text("\n".join(others) + "\n")
  return python


def files_of(folder) -> set[str]:
  return {
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
  }


def test_the_wheel_holds_the_package_and_nothing_else(tree, wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
  package = {name for name in names if ".dist-info/" not in name}
  expected = {f"mtl_traffic/{name}" for name in files_of(tree / "mtl_traffic")}
  # Invented flows for tests.
  assert package == {name for name in expected if "/dummy_data/" not in name}
  assert {
    "mtl_traffic/py.typed",
    "mtl_traffic/configs/own_captures.py",
    "mtl_traffic/data/ucdavis_icdm19/CITATIONS.bib",
    "mtl_traffic/data/iscx_vpn2016/categories.csv",
    "mtl_traffic/data/iot_devices/README.md",
    "mtl_traffic/data/video_sessions/CITATIONS.bib",
  } <= package


def test_the_source_distribution_can_be_tested(tree, source):
  for folder in DISTRIBUTED:
    assert files_of(source / folder) == files_of(tree / folder)
  for name in ("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml"):
    assert (source / name).read_bytes() == (tree / name).read_bytes()
  done = subprocess.run(
    [sys.executable, "-m", "pytest", "-q", "tests/data/test_load.py"],
    cwd=source,
    env=os.environ | {"PYTEST_ADDOPTS": "-p no:cacheprovider"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr


def capture(number, num_flows=16, num_packets=12):
  """A capture whose flows have packets of a length of their own."""
  rng = np.random.default_rng(number)
  packets = [
    (
      int(rng.integers(1, 2 + 3 * flow) * files.SECOND // 10) + i * files.SECOND // 4,
      files.ip_packet(
        source_port=1000 + flow, payload=int(rng.integers(9, 99)) + 900 * number
      ),
    )
    for flow in range(num_flows)
    for i in range(num_packets)
  ]
  return files.pcap(sorted(packets))


RUN_ALONE = """
import json, sys, zipfile
sys.modules["mtl_traffic"] = None
import jax, numpy as np
with zipfile.ZipFile("model.zip") as file:
  predict = jax.export.deserialize(bytearray(file.read("predict.jax"))).call
  content = json.loads(file.read("model.json"))
k = content["k"]
answers = predict(
  np.full((3, k), 0.25, np.float32), np.full((3, k), 900, np.int32),
  np.ones((3, k), np.int8), np.full(3, k, np.int32),
)
print(json.dumps([content["names"]["class"], np.asarray(answers["class"]).tolist()]))
"""


def test_the_whole_way_without_the_tree(environment, tmp_path):
  empty = tmp_path / "empty"
  empty.mkdir()
  variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
  variables["XDG_CACHE_HOME"] = str(tmp_path / "cache")
  variables["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # Nothing runs for long.

  def run(program, *arguments, **options):
    done = subprocess.run(
      [environment.parent / program, *arguments],
      cwd=empty,
      env=variables,
      capture_output=True,
      **options,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()

  where = run("python", "-c", "import mtl_traffic; print(mtl_traffic.__file__)")
  assert pathlib.Path(where.strip()).is_relative_to(environment.parents[1])

  for number, name in enumerate(CLASSES):
    (empty / f"{name}.pcap").write_bytes(capture(number))
  labels = "".join(f"{name}.pcap,{name}\n" for name in CLASSES)
  (empty / "labels.csv").write_text(f"capture,label\n{labels}")
  out = run("mtl-traffic", "extract-flows", "--captures=*.pcap", "--labels=labels.csv")
  assert "flows: 32\n" in out
  run(
    "mtl-traffic",
    "train",
    "--config=own_captures",
    "--dataset=flows.parquet",
    "--workdir=model",
    "--config.k=8",
    "--config.epochs=1",
    "--config.test_per_class=3",
    "--config.validation_per_class=3",
  )
  run("mtl-traffic", "predict", "--model=model", "--captures=call.pcap")
  rows = list(map(json.loads, (empty / "answers.jsonl").read_text().splitlines()))
  assert len(rows) == 16 and {row["class"] for row in rows} <= {*CLASSES, "unknown"}
  out = run(
    *("mtl-traffic", "predict", "--model=model", "--captures=-", "--out=pipe.jsonl"),
    input=capture(0),
  )
  assert "wrote 16 answers" in out
  if not importlib.util.find_spec("flatbuffers"):
    return  # Of the extra `export`.
  run("mtl-traffic", "export-model", "--model=model")
  names, probabilities = json.loads(run("python", "-c", RUN_ALONE))
  assert names == list(CLASSES)
  np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-5)
