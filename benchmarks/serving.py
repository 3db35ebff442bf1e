"""Measures how fast a model answers: flows, packets of a capture, delay on a pipe.

    python -m benchmarks.serving --method=whole_flow_distillation --workdir=runs/serving

Measures a model of `--method` with k = 60 that is hardly trained, which is as fast as a
trained one, on simulated flows; a forest has all of its trees. Flows a second, from
packets to probabilities; packets a second from a capture file to a file of answers, by
one process and, in turns, by `--workers` once they are there, and the memory that takes
as the capture gets longer; and, on a pipe with `--rate` packets a second, the delay
from writing a flow's k-th packet to reading its answer. `--measure=delays` measures
that alone.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import tqdm
from absl import flags

from benchmarks.captures import write_capture
from mtl_traffic.commands import cli
from mtl_traffic.data import captures, simulated
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.errors import InputError
from mtl_traffic.inputs import Inputs
from mtl_traffic.runs import label_budgets
from mtl_traffic.serving import (
  answer_columns,
  checkpoints,
  live,
  outputs,
  trainer,
  workers,
)
from mtl_traffic.serving.predictor import Predictor, load_model
from mtl_traffic.serving.tally import Tally
from mtl_traffic.serving.writer import Writer
from mtl_traffic.settings import ALL, Settings

_MEASURES = ("flows", "packets", "workers", "memory", "delays")
_K, _SNAP_LENGTH = 60, 96
_LONGER = 4
_PIECE_S = 1e-3  # The interval between writes to the pipe.


def define_flags() -> None:
  cli.define_required("workdir", "where the model, captures and answers go")
  flags.DEFINE_string("method", "multitask", "The model's method.")
  flags.DEFINE_multi_enum(
    "measure", _MEASURES, _MEASURES, "What to measure; may be given several times."
  )
  for name, default, meaning in (
    ("num_flows", 4000, "Flows in a capture."),
    ("predicted_flows", 20_000, "Flows that are predicted at once."),
    ("workers", 2, "Processes that answer for a capture."),
    ("training_flows", 2800, "Flows that a forest is grown from."),
    ("rate", 20_000, "Packets a second on the pipe."),
    ("seconds", 20, "How long packets come on the pipe."),
    ("repeats", 5, "How often each is measured."),
  ):
    flags.DEFINE_integer(name, default, meaning, lower_bound=1)


def main() -> None:
  args = flags.FLAGS
  workdir = pathlib.Path(args.workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  model = workdir / args.method
  _say(f"making {model}")
  save_model(model, args.method, args.training_flows)
  predictor = load_model(model)
  predictor.warm_up()
  num_flows = {"short": args.num_flows}
  if "memory" in args.measure:
    num_flows["long"] = _LONGER * num_flows["short"]
  paths = {name: workdir / f"{name}.pcap" for name in num_flows}
  for name, path in paths.items():
    _say(f"writing {path}")
    # The long capture has as many open flows at a time as the short one.
    arrival_s = 600.0 * num_flows[name] / num_flows["short"]
    write_capture(path, num_flows[name], 256, _SNAP_LENGTH, 0, arrival_s=arrival_s)
  measured = {"method": args.method}
  if "flows" in args.measure:
    _say("predicting flows")
    measured["flows_per_second"] = _flows_per_second(predictor)
  if "packets" in args.measure:
    _say("answering for a capture")
    measured["packets_per_second"] = _packets_per_second(
      predictor, paths["short"], workdir
    )
  if "workers" in args.measure:
    _say(f"answering for a capture with {args.workers} workers, and one")
    measured |= _with_workers(model, predictor, paths["short"], workdir)
  if "memory" in args.measure:
    for name, path in paths.items():
      _say(f"the memory that {path} takes")
      measured[f"peak_resident_mb_{name}"] = _peak_resident_mb(model, path, workdir)
  if "delays" in args.measure:
    _say(f"answering on a pipe for {args.seconds} s")
    delays = _delays(model, paths["short"], workdir)
    measured["delays"] = len(delays)
    for percentile in (50, 90, 99, 100):
      measured[f"delay_ms_p{percentile}"] = 1e3 * float(
        np.percentile(delays, percentile)
      )
  print(json.dumps(measured, indent=2))


def _say(what: str) -> None:
  print(f"{what} ...", file=sys.stderr, flush=True)


def save_model(path: pathlib.Path, method: str, num_flows: int) -> None:
  """Trains a model of a method for an epoch, on all labels of simulated flows.

  Raises:
    InputError: the method does not exist, or cannot answer live traffic.
  """
  settings = Settings(
    methods=(method,), labels_per_class=(ALL,), num_seeds=1, k=_K, epochs=1
  )
  (run,) = label_budgets(settings)
  trainer.check(run, settings)
  flows = simulated.simulate(num_flows=num_flows, max_packets=_K)
  inputs = Inputs(settings, flows, [run])
  description, parameters, _ = trainer.train(settings, inputs, run)
  checkpoints.save(path, description, parameters)


def _flows_per_second(predictor: Predictor) -> float:
  flows = simulated.simulate(num_flows=flags.FLAGS.predicted_flows, max_packets=_K)
  return _median(lambda: predictor(flows), len(flows))


def _packets_per_second(
  predictor: Predictor, path: pathlib.Path, workdir: pathlib.Path
) -> float:
  def answer() -> int:
    with _writer(predictor, workdir) as (writer, tally):
      answering = live.Answering(predictor, writer.write, tally, points=[_K])
      return _read(answering, path)

  return _median(answer, answer())


def _with_workers(
  model: pathlib.Path, predictor: Predictor, path: pathlib.Path, workdir: pathlib.Path
) -> dict[str, float]:
  """Packets a second of one process and of several, and the median of the ratios."""
  args, speeds = flags.FLAGS, []
  with (
    _writer(predictor, workdir) as (writer, tally),
    workers.Workers(args.workers, model, writer, tally, [], points=[_K]) as group,
  ):
    answering = live.Answering(predictor, writer.write, tally, points=[_K])
    for answerer in (group, answering):
      answerer.warm_up()
      _read(answerer, path)
    for _ in range(args.repeats):  # In turns, so that all share the machine's moods.
      for answerer in (answering, group):
        begun = time.perf_counter()
        speeds.append(_read(answerer, path) / (time.perf_counter() - begun))
  alone, together = np.reshape(speeds, (-1, 2)).T
  return {
    "packets_per_second_alone": float(np.median(alone)),
    f"packets_per_second_{args.workers}_workers": float(np.median(together)),
    "workers_against_one": float(np.median(together / alone)),
  }


@contextlib.contextmanager
def _writer(predictor: Predictor, workdir: pathlib.Path):
  columns = answer_columns.columns(predictor.tasks)
  with outputs.Outputs([_fresh(workdir / "answers.jsonl")], columns) as out:
    tally = Tally()
    yield Writer(out, tally, [_K]), tally


def _read(answerer: live.Answerer, path: pathlib.Path) -> int:
  """Answers for the flows of a capture; returns its packets."""
  accounts = captures.Accounts()
  with path.open("rb") as file:
    packets = read_packets(file, path.name, accounts)
    for _ in live.read(answerer, packets, path.name, accounts, captures.DEFAULT_RULES):
      pass
  return accounts.num_packets


def _median(function, count: int) -> float:
  """Items per second: `count` per call, the median of a few calls."""
  speeds = []
  for _ in range(flags.FLAGS.repeats):
    begun = time.perf_counter()
    function()
    speeds.append(count / (time.perf_counter() - begun))
  return float(np.median(speeds))


def _fresh(path: pathlib.Path) -> pathlib.Path:
  """Removes earlier answers, because existing files are not overwritten."""
  path.unlink(missing_ok=True)
  return path


def _command(model: pathlib.Path, source: str, out: pathlib.Path) -> list[str]:
  return [
    *(sys.executable, "-m", "mtl_traffic", "predict", f"--model={model}"),
    *(f"--captures={source}", f"--out={out}"),
  ]


def _check(process: subprocess.Popen) -> None:
  if process.returncode:
    raise InputError(
      f"predict ended with status {process.returncode}; see what "
      f"{' '.join(map(str, process.args))} says"
    )


def _peak_resident_mb(
  model: pathlib.Path, path: pathlib.Path, workdir: pathlib.Path
) -> float:
  process = subprocess.Popen(
    _command(model, str(path), _fresh(workdir / "answers.jsonl")),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  # The system's figure for a child starts from its parent's memory.
  status, peak_kb = pathlib.Path(f"/proc/{process.pid}/status"), 0
  while process.poll() is None:
    for line in status.read_text().splitlines():
      if line.startswith("VmHWM:"):
        peak_kb = int(line.split()[1])
    time.sleep(0.01)
  _check(process)
  return peak_kb / 1e3


def _delays(
  model: pathlib.Path, path: pathlib.Path, workdir: pathlib.Path
) -> np.ndarray:
  """Seconds from writing the k-th packet of each flow to reading its answer."""
  ends, answered_at = _records(path, flags.FLAGS.rate * flags.FLAGS.seconds)
  answers = _fresh(workdir / "pipe.jsonl")
  os.mkfifo(answers)
  process = subprocess.Popen(
    _command(model, "-", answers),
    stdin=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  arrivals: dict[int, float] = {}
  is_ready = threading.Event()

  def listen() -> None:
    # Returns when the other side opens the pipe, after compiling the model.
    with answers.open() as lines:
      is_ready.set()
      for line in lines:
        now, answer = time.perf_counter(), json.loads(line)
        if answer["packets"] == _K:  # Leaves out flows that ended early.
          arrivals[int(answer["flow"].rpartition("#")[2])] = now

  listener = threading.Thread(target=listen, daemon=True)
  listener.start()
  while not is_ready.wait(1):
    if process.poll() is not None:
      _check(process)
  with path.open("rb") as capture:
    written = _write_at_rate(process.stdin, capture.read(int(ends[-1])), ends)
  process.stdin.close()
  process.wait()
  _check(process)
  listener.join()
  return np.array(
    [
      arrivals[first] - written[last - 1]
      for first, last in answered_at.items()
      if first in arrivals
    ]
  )


def _records(path: pathlib.Path, num_packets: int) -> tuple[np.ndarray, dict[int, int]]:
  """Reads the positions of a capture's first packets for `_delays`.

  Returns:
    Where each packet's record ends, and the k-th packet of each flow by its first one.
  """
  accounts, ends, keys = captures.Accounts(), [], []
  decoder = Decoder(accounts)
  with path.open("rb") as file:
    for raw in read_packets(file, path.name, accounts):
      ends.append(raw.captured + 16)
      keys.append(decoder.decode(raw).keys)
      if accounts.num_packets >= num_packets:
        break
  ends = 24 + np.cumsum(np.concatenate(ends)[:num_packets])
  keys = np.concatenate(keys)[:num_packets]
  _, flow = np.unique(keys, axis=0, return_inverse=True)
  order = np.argsort(flow.ravel(), kind="stable")
  starts = np.searchsorted(flow.ravel()[order], np.arange(flow.max() + 1))
  sizes = np.diff(np.append(starts, len(order)))
  starts = starts[sizes >= _K]
  firsts, kths = order[starts] + 1, order[starts + _K - 1] + 1
  return ends, dict(zip(firsts.tolist(), kths.tolist(), strict=True))


def _write_at_rate(pipe, content: bytes, ends: np.ndarray) -> np.ndarray:
  """Writes packets at their due times; returns when each was written."""
  written = np.zeros(len(ends))
  pipe.write(content[:24])
  sent, position, begun = 0, 24, time.perf_counter()
  with tqdm.tqdm(
    total=len(ends), unit=" packets", unit_scale=True, mininterval=1
  ) as bar:
    while sent < len(ends):
      due = min(int((time.perf_counter() - begun) * flags.FLAGS.rate), len(ends))
      if due > sent:
        end = int(ends[due - 1])
        # Taken before the write, since waiting for the reader is part of the delay.
        written[sent:due] = time.perf_counter()
        pipe.write(content[position:end])
        pipe.flush()
        bar.update(due - sent)
        sent, position = due, end
      time.sleep(_PIECE_S)
  return written


if __name__ == "__main__":
  cli.run(main, define_flags, name="python -m benchmarks.serving", about=__doc__)
