import os
import pathlib
import socket
import subprocess
import sys

import jax
import pytest

from mtl_traffic import placement

ROOT = pathlib.Path(__file__).parents[1]

# Three runs of a small model, trained and asked; prints what the flows score. In a
# process of its own, which can have other devices.
PROGRAM = """
import sys
import jax
import jax.numpy as jnp
import numpy as np

num_devices, process, num_processes, address = sys.argv[1:]
jax.config.update("jax_num_cpu_devices", int(num_devices))
if int(num_processes) > 1:
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  jax.distributed.initialize(address, int(num_processes), int(process))

from mtl_traffic import models, sweeps
from mtl_traffic.training import Assignment, Schedule

R, N = 3, 32
keys = jax.random.split(jax.random.key(0), R)
assignments = Assignment(
  key=keys,
  members=jnp.tile(jnp.arange(N), (R, 1)),
  num_members=jnp.array([8, 16, 32]),
  targets={"class": jnp.tile(jnp.arange(N) % 2, (R, 1))},
  weights={"class": jnp.array([0.0, 1.0, 10.0])},
  learning_rate=jnp.full(R, 1e-3),
  clip_norm=jnp.ones(R),
)
inputs = jax.random.normal(keys[0], (N, 6, 2))
told = []
model = models.MultitaskCNN((("class", 2),))
variables = sweeps.fit(
  assignments,
  inputs,
  model=model,
  schedule=Schedule(epochs=3, batch_size=8),
  steps_per_epoch=3,
  on_epoch=lambda: told.append(1),
)
queries = jnp.tile(jnp.arange(N), (R, 1))
logits = np.asarray(sweeps.predict(variables, inputs, queries, model=model)["class"])
assert logits.shape == (R, N, 2) and len(told) == 3
print(jax.device_count(), *logits.ravel().tolist())
"""


def _start(num_devices, process=0, num_processes=1, address=""):
  arguments = map(str, (num_devices, process, num_processes, address))
  return subprocess.Popen(
    [sys.executable, "-c", PROGRAM, *arguments],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _numbers(process):
  out, error = process.communicate(timeout=300)
  assert process.returncode == 0, error
  num_devices, *logits = out.splitlines()[-1].split()
  return int(num_devices), [float(logit) for logit in logits]


def _close(left, right):
  return max(abs(a - b) for a, b in zip(left, right, strict=True)) < 1e-5


def test_devices_and_hosts_make_no_difference_to_a_run():
  with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"
  started = [_start(1), _start(8), *[_start(1, i, 2, address) for i in range(2)]]
  (one, alone), (eight, laid_out), *hosts = map(_numbers, started)
  assert (one, eight) == (1, 8)
  assert _close(alone, laid_out)
  for num_devices, logits in hosts:
    assert num_devices == 2
    assert _close(alone, logits)


def test_an_accelerator_takes_as_many_runs_as_its_memory_holds(monkeypatch):
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert placement.runs_together(10) == 10
  assert placement.runs_together(10, 1000, lambda: 100) == 8
  assert placement.runs_together(3, 1000, lambda: 100) == 3
  assert placement.runs_together(10, 1000, lambda: 5000) == 1


def test_a_cpu_takes_one_run_after_another(monkeypatch):
  monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
  assert placement.runs_together(10, 1000, lambda: 100) == 1


@pytest.mark.parametrize(
  "error",
  [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")],
)
def test_half_as_many_are_tried_until_there_is_room(error):
  tried = []

  def attempt(size):
    tried.append(size)
    if size > 2:
      raise error
    return "done"

  assert placement.with_room(attempt, 9) == "done"
  assert tried == [9, 5, 3, 2]


def test_other_errors_and_too_little_room_for_one_are_raised():
  tried = []

  def attempt(size, error):
    tried.append(size)
    raise error

  with pytest.raises(ZeroDivisionError):
    placement.with_room(lambda size: attempt(size, ZeroDivisionError()), 8)
  assert tried == [8]
  with pytest.raises(MemoryError):
    placement.with_room(lambda size: attempt(size, MemoryError()), 2)
  assert tried == [8, 2, 1]
