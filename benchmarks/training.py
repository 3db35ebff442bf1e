"""Measures training throughput: against Keras and PyTorch, by runs, flows and packets.

    python -m benchmarks.training --workdir=runs/benchmark

Measures the paper's network (k = 60, batches of 64) on random flows, in steps per
second summed over the runs of a program. The variants are `mtl_traffic.fit` by default,
with vmapped runs, in bfloat16, and with one run on one device. If the `peers` extra is
installed, the same network in Keras 3 and in PyTorch is measured too. The variants and
a large float32 matrix product are measured in turn, several times; ratios are medians
over the rounds. Then the numbers of runs, flows and packets are increased, one at a
time.
"""

import contextlib
import functools
import json
import math
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax.traverse_util import flatten_dict
from jax.sharding import Mesh
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks import peers
from mtl_traffic import encoding, models, placement, sweeps, tables
from mtl_traffic.commands import cli
from mtl_traffic.data import simulated
from mtl_traffic.flows import map_arrays
from mtl_traffic.training import Assignment, Schedule

_K, _BATCH, _NUM_FLOWS = 60, 64, 6_400
_HEADS = (("bandwidth", 5), ("duration", 5), ("class", 5))
_PEAK_SIZE = 2048  # Size of the matrices whose product gives the machine's peak.
_OURS, _PEAK = "mtl_traffic", "matrix product"


def define_flags() -> None:
  for name, default, meaning in (
    ("runs", [1, 2, 4, 8, 16, 32], "Runs in one program, as far as memory allows."),
    ("flows", [10**n for n in range(3, 7)], "Flows to encode, train on and predict."),
    ("packets", [15, 30, 60, 120, 240], "Packets per flow, k."),
  ):
    flags.DEFINE_multi_integer(name, default, meaning, lower_bound=1)
  for name, default, meaning in (
    ("steps", 400, "Steps in each measurement, over all runs."),
    ("repeats", 5, "Measurements of each variant, in turn."),
  ):
    flags.DEFINE_integer(name, default, meaning, lower_bound=1)
  flags.DEFINE_string("workdir", None, "Where to write the results.")


def main() -> None:
  args = flags.FLAGS
  with _sides() as sides:
    rounds = _in_turn(sides, args.repeats)
  result = {
    "device": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
    "backend": jax.default_backend(),
    "step_gflop": product_flops(_K) / 1e9,
    "compile_seconds": _compile_seconds(),
    "throughput": _compare(rounds),
    "runs": _by_runs(),
    "flows": [_of_flows(n) for n in tqdm(args.flows, desc="flows")],
    "packets": [_of_packets(k) for k in tqdm(args.packets, desc="packets")],
  }
  text = _tables(result)
  print(text)
  if args.workdir:
    workdir = pathlib.Path(args.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "benchmark.json").write_text(json.dumps(result, indent=2) + "\n")
    (workdir / "benchmark.md").write_text(text)
    _figure(result).savefig(workdir / "benchmark.png", dpi=150)
    print(f"Results are in {workdir}/")


def product_flops(k: int) -> int:
  """Floating-point operations of a training step's matrix products."""
  model = models.MultitaskCNN(_HEADS)
  logits, variables = jax.eval_shape(
    lambda: model.init_with_output(
      jax.random.key(0), jnp.zeros((_BATCH, k, 2)), capture_intermediates=True
    )
  )
  del logits
  outputs = flatten_dict(variables["intermediates"])
  forward = {
    path: 2 * outputs[*path[:-1], "__call__"][0].size * math.prod(kernel.shape[:-1])
    for path, kernel in flatten_dict(variables["params"]).items()
    if path[-1] == "kernel"
  }
  # The gradients of weights and of inputs each cost as much again; the first layer
  # needs no gradient of its inputs.
  return 3 * sum(forward.values()) - forward["trunk", "Convolution_0", "kernel"]


def _train(
  num_runs: int = 1,
  k: int = _K,
  num_flows: int = _NUM_FLOWS,
  num_steps: int | None = None,
  dtype: jnp.dtype = jnp.float32,
  together: int | None = None,
  mesh: Mesh | None = None,
) -> float:
  """Seconds of an epoch of several runs, after an epoch that compiles programs."""
  keys = jax.random.split(jax.random.key(0), num_runs)
  targets = jax.random.randint(keys[0], (num_runs, num_flows), 0, 5)
  assignments = Assignment(
    key=keys,
    members=jnp.tile(jnp.arange(num_flows), (num_runs, 1)),
    num_members=jnp.full(num_runs, num_flows),
    targets={task: targets for task, _ in _HEADS},
    weights={task: jnp.ones(num_runs) for task, _ in _HEADS},
    learning_rate=jnp.full(num_runs, 1e-3),
    clip_norm=jnp.ones(num_runs),
  )
  times = []
  schedule = Schedule(epochs=2, batch_size=_BATCH)
  sweeps.fit(
    assignments,
    jax.random.normal(keys[0], (num_flows, k, 2)),
    model=models.MultitaskCNN(_HEADS, dtype),
    schedule=schedule,
    steps_per_epoch=num_steps or schedule.steps_per_epoch(num_flows),
    together=together,
    mesh=mesh,
    on_epoch=lambda: times.append(time.perf_counter()),
  )
  return times[1] - times[0]


def _throughput(num_runs: int = 1, **arguments) -> float:
  """Steps per second, summed over the runs."""
  steps = max(1, flags.FLAGS.steps // num_runs)
  return steps * num_runs / _train(num_runs, num_steps=steps, **arguments)


def _peak() -> float:
  """Floating-point operations per second of a large float32 matrix product."""
  square = jnp.ones((_PEAK_SIZE, _PEAK_SIZE))
  product = jax.jit(jnp.matmul)
  product(square, square).block_until_ready()
  seconds = []
  for _ in range(5):
    begun = time.perf_counter()
    product(square, square).block_until_ready()
    seconds.append(time.perf_counter() - begun)
  return 2 * _PEAK_SIZE**3 / min(seconds)


@contextlib.contextmanager
def _sides() -> Iterator[dict[str, Callable[[], float]]]:
  """Yields the measurements: steps per second of each side, and the machine's peak."""
  devices = jax.device_count()
  num_runs = 4 * devices
  rng = np.random.default_rng(0)
  targets = {
    task: rng.integers(0, classes, _NUM_FLOWS).astype(np.int32)
    for task, classes in _HEADS
  }
  targets["class"][_NUM_FLOWS // 10 :] = -1
  inputs = rng.standard_normal((_NUM_FLOWS, _K, 2), np.float32)
  one = placement.runs_mesh(jax.devices()[:1])
  sides = {
    f"{_OURS}, {num_runs} runs": lambda: _throughput(num_runs),
    f"{_OURS}, {num_runs} runs vmapped": lambda: _throughput(num_runs, together=4),
    f"{_OURS}, {num_runs} runs, bfloat16": lambda: _throughput(
      num_runs, dtype=jnp.bfloat16
    ),
    f"{_OURS}, one run": lambda: _throughput(mesh=one),
    _PEAK: _peak,
  }
  with contextlib.ExitStack() as stack:
    for name in peers.PEERS:
      epoch = stack.enter_context(peers.epochs_of(name, inputs, targets, _BATCH))
      if epoch:
        sides[name] = lambda epoch=epoch: _NUM_FLOWS / _BATCH / epoch()
    yield sides


def _in_turn(
  sides: dict[str, Callable[[], float]], repeats: int
) -> dict[str, list[float]]:
  """Measures every side once per round, so that a busy machine slows all alike."""
  for measure in sides.values():  # Compiles.
    measure()
  rounds = {side: [] for side in sides}
  for _ in tqdm(range(repeats), desc="in turn", unit="round"):
    for side, measure in sides.items():
      rounds[side].append(measure())
  return rounds


def _compare(rounds: dict[str, list[float]]) -> list[dict]:
  """Each side's median, and the median ratio of our first side to it."""
  peak = rounds.pop(_PEAK)
  ours = next(iter(rounds.values()))
  flops = product_flops(_K)
  return [
    {
      "side": side,
      "steps_per_second": statistics.median(values),
      "ours_to_it": _median_ratio(ours, values),
      "of_peak": flops * _median_ratio(values, peak),
      "rounds": values,
    }
    for side, values in rounds.items()
  ] + [{"side": _PEAK, "gflops": statistics.median(peak) / 1e9, "rounds": peak}]


def _median_ratio(left: Sequence[float], right: Sequence[float]) -> float:
  return statistics.median(a / b for a, b in zip(left, right, strict=True))


def _compile_seconds() -> float:
  """Seconds to compile the training of a shape that is not in the cache."""
  kept = jax.config.jax_enable_compilation_cache
  jax.config.update("jax_enable_compilation_cache", False)
  begun = time.perf_counter()
  _train(num_flows=_BATCH * 3, num_steps=1)
  jax.config.update("jax_enable_compilation_cache", kept)
  return time.perf_counter() - begun


def _by_runs() -> list[dict]:
  rows = []
  for num_runs in tqdm(flags.FLAGS.runs, desc="runs"):
    try:
      rows.append({"runs": num_runs, "steps_per_second": _throughput(num_runs)})
    except Exception as error:
      if not placement.out_of_memory(error):
        raise
      print(f"{num_runs} runs do not fit the memory")
      break
  return rows


def _of_packets(k: int) -> dict:
  steps_per_second = _throughput(jax.device_count(), k=k)
  return {
    "k": k,
    "steps_per_second": steps_per_second,
    "gflops": steps_per_second * product_flops(k) / 1e9,
  }


def _of_flows(num_flows: int) -> dict:
  """Seconds to encode N flows, to train on them for one epoch, and to predict them."""
  drawn = simulated.simulate(
    num_flows=min(num_flows, 10_000), max_packets=_K, seed=0
  ).packets
  copies = math.ceil(num_flows / len(drawn.counts))
  packets = map_arrays(lambda leaf: np.concatenate([leaf] * copies)[:num_flows], drawn)
  transform = jax.jit(encoding.encode)

  def encode() -> jax.Array:
    return transform(encoding.first_packets(packets, _K)).block_until_ready()

  encode()
  begun = time.perf_counter()
  inputs = encode()
  encoded = time.perf_counter() - begun

  model = models.MultitaskCNN(_HEADS)
  variables = jax.vmap(lambda key: model.init(key, inputs[:1]))(
    jax.random.split(jax.random.key(0), 1)
  )
  queries = jnp.arange(num_flows)[None]
  predict = functools.partial(sweeps.predict, variables, inputs, queries, model=model)
  jax.block_until_ready(predict())
  begun = time.perf_counter()
  jax.block_until_ready(predict())
  predicted = time.perf_counter() - begun
  return {
    "flows": num_flows,
    "encode_seconds": encoded,
    "epoch_seconds": _train(num_flows=num_flows),
    "predict_seconds": predicted,
  }


def _tables(result: dict) -> str:
  *sides, peak = result["throughput"]
  compared = tables.markdown_table(
    ["k = 60, batches of 64", "steps/s, all runs", "ours is faster by", "of the peak"],
    [
      [
        row["side"],
        round(row["steps_per_second"]),
        f"{row['ours_to_it']:.2f} ×",
        f"{row['of_peak']:.0%}",
      ]
      for row in sides
    ],
  )
  runs = tables.markdown_table(
    ["runs", "steps/s, all runs"],
    [[row["runs"], round(row["steps_per_second"])] for row in result["runs"]],
  )
  flows = tables.markdown_table(
    ["flows", "encode (s)", "learn, one epoch (s)", "predict (s)"],
    [
      [f"{row['flows']:,}"]
      + [
        f"{row[name]:.3g}"
        for name in ("encode_seconds", "epoch_seconds", "predict_seconds")
      ]
      for row in result["flows"]
    ],
  )
  packets = tables.markdown_table(
    ["k", "steps/s, all runs", "GFLOP/s"],
    [
      [row["k"], round(row["steps_per_second"]), round(row["gflops"])]
      for row in result["packets"]
    ],
  )
  return (
    f"On {result['device']} ({result['backend']}): a step is "
    f"{result['step_gflop']:.2f} GFLOP of matrix products, the peak of a "
    f"{_PEAK_SIZE} × {_PEAK_SIZE} product {peak['gflops']:.0f} GFLOP/s; compiling a "
    f"program takes {result['compile_seconds']:.0f} s, once.\n\n"
    + "\n".join([compared, runs, flows, packets])
  )


def _figure(result: dict) -> Figure:
  """Throughput by runs and by packets, and seconds by flows."""
  figure = Figure(figsize=(12, 3.6), layout="constrained")
  runs, flows, packets = figure.subplots(1, 3)
  runs.plot(*_columns(result["runs"], "runs", "steps_per_second"), marker="o")
  runs.set(xlabel="runs in a program", ylabel="steps/s, all runs", xscale="log")
  runs.set_xticks([row["runs"] for row in result["runs"]])
  runs.set_xticklabels([row["runs"] for row in result["runs"]])
  runs.minorticks_off()
  for name, label in (
    ("encode_seconds", "encode"),
    ("epoch_seconds", "learn, one epoch"),
    ("predict_seconds", "predict"),
  ):
    flows.loglog(*_columns(result["flows"], "flows", name), marker="o", label=label)
  flows.set(xlabel="flows", ylabel="seconds")
  flows.legend()
  packets.plot(*_columns(result["packets"], "k", "gflops"), marker="o")
  packets.axhline(result["throughput"][-1]["gflops"], color="grey", linestyle="--")
  packets.set(xlabel="packets, k", ylabel="GFLOP/s (dashed: peak)")
  for axes in (runs, packets):
    axes.set_ylim(bottom=0)
  for axes in (runs, flows, packets):
    axes.grid(alpha=0.3)
  return figure


def _columns(rows: list[dict], *names: str) -> list[list[float]]:
  return [[row[name] for row in rows] for name in names]


if __name__ == "__main__":
  cli.run(main, define_flags, name="python -m benchmarks.training", about=__doc__)
