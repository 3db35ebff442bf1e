"""Training throughput: steps a second, summed over the runs of one program.

Measures the paper's network (k = 60, batches of 64) on random flows for several numbers
of runs, in turn and several times, and compares each with a single run. `vmapped` are
all runs in one batched step, `as fit` is what `mtl_traffic.fit` does by default here.
"""

import json
import pathlib
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from tqdm import tqdm

from experiments import cli
from mtl_traffic import models, reporting, sweeps
from mtl_traffic.training import Assignment, Schedule

_RUNS = flags.DEFINE_multi_integer("runs", [1, 2, 4, 10], "Runs in one program.")
_STEPS = flags.DEFINE_integer("steps", 400, "Steps of each measurement, all runs.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Measurements of each, in turn.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where to write benchmark.json.")

_K, _NUM_FLOWS = 60, 6_000
_HEADS = (("bandwidth", 5), ("duration", 5), ("class", 5))


def _throughput(num_runs: int, together: int | None, num_steps: int) -> float:
  """Steps a second, without the compilation, which an earlier call pays for."""
  keys = jax.random.split(jax.random.key(0), num_runs)
  targets = jax.random.randint(keys[0], (num_runs, _NUM_FLOWS), 0, 5)
  assignments = Assignment(
    key=keys,
    members=jnp.tile(jnp.arange(_NUM_FLOWS), (num_runs, 1)),
    num_members=jnp.full(num_runs, _NUM_FLOWS),
    targets={task: targets for task, _ in _HEADS},
    weights={task: jnp.ones(num_runs) for task, _ in _HEADS},
  )
  inputs = jax.random.normal(keys[0], (_NUM_FLOWS, _K, 2))
  times = []
  sweeps.fit(
    assignments,
    inputs,
    model=models.MultitaskCNN(_HEADS),
    schedule=Schedule(epochs=2),
    steps_per_epoch=max(1, num_steps // num_runs),
    together=together,
    on_epoch=lambda: times.append(time.perf_counter()),
  )
  return max(1, num_steps // num_runs) * num_runs / (times[1] - times[0])


def main(argv: Sequence[str]) -> None:
  del argv
  cases = [(1, "as fit", None)]
  for num_runs in _RUNS.value:
    if num_runs > 1:
      cases += [(num_runs, "as fit", None), (num_runs, "vmapped", num_runs)]
  measured = {case: [] for case in cases}
  for _ in tqdm(range(_REPEATS.value), unit="round"):
    for case in cases:
      num_runs, _, together = case
      measured[case].append(_throughput(num_runs, together, _STEPS.value))
  single = np.array(measured[cases[0]])
  results = [
    {
      "runs": num_runs,
      "mode": mode,
      "steps_per_second": float(np.median(values)),
      # Paired within a round, so that a busy machine slows both sides.
      "ratio_to_single": float(np.median(np.array(values) / single)),
    }
    for (num_runs, mode, _), values in measured.items()
  ]
  device = f"{jax.default_backend()}, {jax.devices()[0].device_kind}"
  table = reporting.markdown_table(
    ["runs", "mode", "steps/s, all runs", "ratio to one run"],
    [
      [
        r["runs"],
        r["mode"],
        round(r["steps_per_second"]),
        f"{r['ratio_to_single']:.2f}",
      ]
      for r in results
    ],
  )
  print(f"Training steps a second (k = {_K}, batch 64) on {device}:\n\n{table}")
  if _WORKDIR.value:
    path = pathlib.Path(_WORKDIR.value) / "benchmark.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"device": device, "results": results}, indent=2) + "\n")
    print(f"Results are in {path}")


if __name__ == "__main__":
  cli.run(main, reads_dataset=False)
