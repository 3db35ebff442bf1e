"""Measures the time to prepare text flows, compared with numpy.loadtxt.

The text flows of a folder are repeated up to a size. Then both run a few times in turn,
on the same number of cores. `loadtxt` runs in as many processes as cores, which are
started before the clock. The preparation runs completely in a process of its own.

    python -m benchmarks.preparation --text_dir=DIR
"""

import concurrent.futures
import itertools
import json
import multiprocessing
import os
import pathlib
import resource
import tempfile
import time
from collections.abc import Sequence

import numpy as np
from absl import flags
from tqdm import tqdm

from mtl_traffic import tables
from mtl_traffic.commands import cli
from mtl_traffic.data import tfds_flows
from mtl_traffic.data.ucdavis_icdm19 import sources
from mtl_traffic.data.ucdavis_icdm19 import ucdavis_icdm19_dataset_builder as ucdavis
from mtl_traffic.errors import InputError


def define_flags() -> None:
  flags.DEFINE_string(
    "text_dir",
    None,
    "A folder with text flows, also in zips; by default flows are made up.",
  )
  flags.DEFINE_float("megabytes", 200, "How much text.", lower_bound=0)
  flags.DEFINE_integer("workers", None, "By default all cores.", lower_bound=1)
  flags.DEFINE_integer("repeats", 3, "How often both run.", lower_bound=1)


def main() -> None:
  args = flags.FLAGS
  processes = args.workers or os.cpu_count() or 1
  originals = list(_originals(args.text_dir))
  with tempfile.TemporaryDirectory() as scratch:
    text = pathlib.Path(scratch, "text")
    paths = repeat(originals, text, args.megabytes * 1e6)
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    rows = []
    for number in tqdm(range(args.repeats), unit=" runs", leave=False):
      loadtxt_s, packets = time_loadtxt(paths, processes)
      prepare_s, peak_mb = _alone(
        time_preparation, text, pathlib.Path(scratch, str(number)), processes
      )
      rows.append([loadtxt_s, prepare_s, prepare_s / loadtxt_s, peak_mb])
  print(
    f"{len(paths):,} files, {megabytes:,.0f} MB, {packets:,} packets, on {processes}:"
  )
  header = ["loadtxt (s)", "preparation (s)", "ratio", "peak resident (MB)"]
  print(tables.markdown_table(header, [[f"{x:.2f}" for x in row] for row in rows]))
  best = min(rows, key=lambda row: row[2])
  names = ("loadtxt_s", "preparation_s", "ratio", "peak_resident_mb")
  print(json.dumps(dict(zip(names, best, strict=True))))


def repeat(
  originals: Sequence[tuple[sources.FlowFile, bytes]], folder: pathlib.Path, size: float
) -> list[pathlib.Path]:
  """Writes copies of flows until there are `size` bytes; returns their paths."""
  paths = []
  for number in itertools.count():
    for file, content in originals:
      path = folder / file.partition / file.class_name / f"{file.flow_id}-{number}.txt"
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(content)
      paths.append(path)
      size -= len(content)
      if size <= 0:
        return paths


def time_loadtxt(paths: Sequence[pathlib.Path], processes: int) -> tuple[float, int]:
  """Seconds to read the files, and their number of lines."""
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(processes, context) as pool:
    # A slow call for each process makes sure that all have started.
    list(pool.map(time.sleep, [0.5] * processes))
    start = time.perf_counter()
    packets = sum(pool.map(_loadtxt, paths, chunksize=8))
    return time.perf_counter() - start, packets


def time_preparation(
  text: pathlib.Path, data_dir: pathlib.Path, num_threads: int
) -> tuple[float, float]:
  """Seconds to prepare the dataset, and this process's peak memory in MB."""
  start = time.perf_counter()
  builder = ucdavis.Builder(data_dir=data_dir, num_threads=num_threads)
  tfds_flows.prepare(builder, text)
  seconds = time.perf_counter() - start
  return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _loadtxt(path: pathlib.Path) -> int:
  return len(np.loadtxt(path))


def _alone(function, *arguments):
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
    return pool.submit(function, *arguments).result()


def _originals(folder: str | None):
  if folder is None:
    yield from _invented()
    return
  files = sources.find_flow_files(pathlib.Path(folder).resolve())
  if not files:
    raise InputError(f"--text_dir: {folder} holds no text flows")
  for file in files:
    yield file, file.read_bytes()


def _invented(num_files: int = 20, num_packets: int = 6653):
  """Flows with the original's mean number of packets."""
  rng = np.random.default_rng(0)
  for number in range(num_files):
    times = np.cumsum(rng.exponential(0.01, num_packets)) - 0.01
    lengths = rng.integers(60, 1400, num_packets)
    directions = rng.integers(0, 2, num_packets)
    packets = zip(times, lengths, directions, strict=True)
    content = "".join(f"{1.5e9 + t:.9f}\t{t:.6g}\t{n}\t{d}\n" for t, n, d in packets)
    name = f"invented-{number}.txt"
    file = sources.FlowFile(sources.PARTITIONS[0], sources.CLASS_NAMES[0], name)
    yield file, content.encode()


if __name__ == "__main__":
  cli.run(
    main,
    define_flags,
    name="python -m benchmarks.preparation",
    about=__doc__,
    uses_jax=False,
  )
