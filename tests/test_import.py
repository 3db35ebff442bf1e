"""What importing the library costs, in processes of their own."""

import subprocess
import sys

import pytest


def _run(program: str) -> str:
  done = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.mark.parametrize(
  "name",
  [
    "mtl_traffic",
    "mtl_traffic.flows",
    "mtl_traffic.tasks",
    "mtl_traffic.data",
    "mtl_traffic.data.captures.extraction",
  ],
)
def test_no_jax_is_imported(name):
  out = _run(
    f"import sys, {name}; print([m for m in ('jax', 'flax', 'tensorflow', "
    "'sklearn') if m in sys.modules])"
  )
  assert out == "[]\n"


@pytest.mark.parametrize(
  "flows",
  ["mtl.load('simulated', 4)", "mtl.Flows(mtl.Packets(*[a] * 4), *[a] * 6, (), ())"],
)
def test_jax_maps_over_flows_once_a_name_is_used(flows):
  program = f"""
import sys
import numpy as np
import mtl_traffic as mtl

assert "jax" not in sys.modules
a = np.arange(3)
flows = {flows}
assert "jax" in sys.modules
import jax

mapped = jax.tree.map(lambda leaf: leaf[:2], flows)
print(len(flows) > 2, len(mapped), mapped.packets.times.shape[0])
"""
  assert _run(program) == "True 2 2\n"


def test_every_name_is_there():
  program = """
import mtl_traffic as mtl

for name in mtl.__all__:
  getattr(mtl, name)
print(set(mtl.__all__) <= set(dir(mtl)))
try:
  mtl.no_such_name
except AttributeError as error:
  print(error)
"""
  assert _run(program) == (
    "True\nmodule 'mtl_traffic' has no attribute 'no_such_name'\n"
  )
