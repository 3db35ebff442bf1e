"""The QUIC dataset of the paper (section IV-B) as a TFDS builder."""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import splits as splits_lib
from tqdm import tqdm

from mtl_traffic.data import folders, parquet, tfds_flows
from mtl_traffic.data.text import TextFlow
from mtl_traffic.data.ucdavis_icdm19 import sources
from mtl_traffic.errors import InputError
from mtl_traffic.flows import UNKNOWN, Flows

# Bounds the memory: TFDS holds the examples of a shard until it is written.
FLOWS_PER_SHARD = 1024
_FILES_AT_ONCE = 16  # Per thread; more would leave threads idle at a shard's end.


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
  """What is stored from the dataset; made by `config`.

  Attributes:
    max_packets: how many packets of each flow are stored.
    skip_bad_files: whether to leave out files that cannot be used, and list them in
      the log, instead of stopping at the first.
  """

  max_packets: int = 256
  skip_bad_files: bool = False


def config(max_packets: int = 256, skip_bad_files: bool = False) -> Config:
  """The config `first256`, `first256_skip_bad_files`, or one of another size."""
  name = f"first{max_packets}" + "_skip_bad_files" * skip_bad_files
  for known in Builder.BUILDER_CONFIGS:
    if known.name == name:
      return known
  return Config(name=name, max_packets=max_packets, skip_bad_files=skip_bad_files)


class Builder(tfds_flows.FlowsBuilder):
  """The flows of the UC Davis QUIC dataset; each partition is a split.

  `manual_dir` holds the original zips, the folders they unpack to, the curated Parquet
  file, or its tarball. If it is not given, TFDS's own folder is searched; if that has
  none of them, the tarball is downloaded. Flows keep the order of the curated file.
  Text is parsed by threads. If the `DownloadConfig` has a `beam_runner` or
  `beam_options`, Beam is used, with one task per shard.

  Preparation raises `mtl_traffic.errors.InputError` if the input cannot be used.
  """

  CLASS_NAMES = sources.CLASS_NAMES
  BUILDER_CONFIGS = [  # noqa: RUF012
    Config(name="first256", description="The first 256 packets of each flow."),
    Config(
      name="first256_skip_bad_files",
      description="The same, without the files that cannot be used.",
      skip_bad_files=True,
    ),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
  Put one of these into the folder, or give no folder to download the curated file:
  the authors' pretraining.zip, Retraining(script-triggered).zip and
  Retraining(human-triggered).zip, or the folders they unpack to; the curated Parquet
  file; or its tarball, {sources.CURATED_URL}.
  """

  def __init__(self, *, num_threads: int | None = None, **kwargs):
    """Like `DatasetBuilder`; text is parsed by `num_threads`, by default one a core."""
    self._num_threads = num_threads or os.cpu_count() or 1
    super().__init__(**kwargs)

  def _download_and_prepare(self, dl_manager, download_config=None) -> None:
    self._given = download_config and download_config.manual_dir
    if download_config and download_config.beam_options:
      # TFDS ignores options without a runner.
      runner = download_config.beam_options.get_all_options()["runner"]
      download_config = dataclasses.replace(
        download_config,
        beam_runner=download_config.beam_runner or runner or "DirectRunner",
      )
    super()._download_and_prepare(dl_manager, download_config)
    splits = list(reversed(self.info.splits.values()))
    if not any(split.num_examples for split in splits):
      raise InputError(f"{dl_manager.manual_dir}: holds no flow that can be used")
    self.info.set_splits(splits_lib.SplitDict(splits))

  def _shard_iterators_per_split(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Sequence[Callable[[], Iterator[tuple[str, dict]]]]]:
    folder = _manual_dir(dl_manager)
    if folder:
      skip = _log_skipped if self.builder_config.skip_bad_files else None
      files = sources.find_flow_files(folder, on_error=skip)
      if files:
        logging.info("Reading %d text files of %s", len(files), folder)
        return _last_first(self._text_shards(files))
    return _last_first(_parquet_shards(self._read_curated(dl_manager, folder)))

  def _text_shards(self, files: list[sources.FlowFile]):
    by_partition = itertools.groupby(files, key=lambda file: file.partition)
    return {
      partition: [
        TextShard(
          files=shard,
          max_packets=self.builder_config.max_packets,
          skip_bad_files=self.builder_config.skip_bad_files,
          num_threads=self._num_threads,
        )
        for shard in _batched(list(of_partition), FLOWS_PER_SHARD)
      ]
      for partition, of_partition in by_partition
    }

  def _read_curated(self, dl_manager, folder: pathlib.Path | None) -> Flows:
    path = folder and sources.find_curated(folder)
    if self._given and not path:
      # A user who gives a folder expects it to be used, not a download.
      there = folders.contents(folder) if folder else "nothing at all"
      raise InputError(
        f"{self._given}: holds no file of this dataset, which is "
        f"{sources.LOOKED_FOR}; there is {there}"
      )
    path = path or _download(dl_manager)
    logging.info("Reading %s", path)
    max_packets = self.builder_config.max_packets
    if path.suffix == ".parquet":
      return _checked(parquet.read(path, max_packets), path, max_packets)
    with sources.unpacked_tarball(path, scratch=self.data_dir) as unpacked:
      return _checked(parquet.read(unpacked, max_packets), path, max_packets)


@dataclasses.dataclass(frozen=True)
class TextShard:
  """Yields the examples of some text files, in order."""

  files: list[sources.FlowFile]
  max_packets: int
  skip_bad_files: bool
  num_threads: int

  def __call__(self) -> Iterator[tuple[str, dict]]:
    num_sorted = 0
    partition = self.files[0].partition
    progress = tqdm(
      self._read(), partition, len(self.files), leave=False, unit=" flows"
    )
    for file, flow in zip(self.files, progress, strict=True):
      if isinstance(flow, InputError):
        if not self.skip_bad_files:
          raise flow
        _log_skipped(flow)
        continue
      num_sorted += flow.was_sorted
      yield file.flow_id, _example(file, flow)
    if num_sorted:
      logging.info(
        "%s, %s to %s: sorted the packets of %d flows, whose times went backwards",
        partition,
        self.files[0].flow_id,
        self.files[-1].flow_id,
        num_sorted,
      )

  def _read(self) -> Iterator[TextFlow | InputError]:
    read = functools.partial(sources.read_flows, max_packets=self.max_packets)
    batches = _batched(self.files, _FILES_AT_ONCE)
    return itertools.chain.from_iterable(_map_in_order(read, batches, self.num_threads))


def _last_first(shards: dict[str, list]) -> dict[str, list]:
  # On Beam, TFDS 4.9 repeats the earlier splits for each further one. So the largest
  # partition comes last; `_download_and_prepare` restores the order.
  return dict(reversed(shards.items()))


def _example(file: sources.FlowFile, flow: TextFlow) -> dict[str, Any]:
  return tfds_flows.example(
    times=flow.times,
    lengths=flow.lengths,
    directions=flow.directions,
    num_packets=flow.num_packets,
    duration=flow.duration,
    num_bytes=flow.num_bytes,
    label=file.class_name,
    flow_id=file.flow_id,
  )


def _map_in_order(
  function: Callable, items: Iterable, num_threads: int
) -> Iterator[Any]:
  """Like `map`, in threads; prefetches a bounded number of items."""
  running = collections.deque()
  with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
    for item in items:
      running.append(pool.submit(function, item))
      if len(running) > 2 * num_threads:
        yield running.popleft().result()
    while running:
      yield running.popleft().result()


def _parquet_shards(flows: Flows):
  lookup = [sources.CLASS_NAMES.index(name) for name in flows.class_names]
  flows = flows.replace(
    classes=np.array([*lookup, UNKNOWN], np.int32)[flows.classes],
    class_names=sources.CLASS_NAMES,
  )
  return {
    name: [
      functools.partial(tfds_flows.examples, flows[rows])
      for rows in _batched(
        np.flatnonzero(flows.partitions == partition), FLOWS_PER_SHARD
      )
    ]
    for partition, name in enumerate(flows.partition_names)
  }


def _checked(flows: Flows, path: pathlib.Path, max_packets: int) -> Flows:
  """Returns the flows after checking that their names are those of this dataset."""
  for field, names, known in (
    ("app", flows.class_names, sources.CLASS_NAMES),
    ("partition", flows.partition_names, sources.PARTITIONS),
  ):
    unknown = sorted(set(names) - set(known))
    if unknown:
      raise InputError(
        f"{path}: {field} {unknown[0]!r} is not of this dataset; "
        f"it has {', '.join(known)}"
      )
  stored = flows.packets.counts
  num_short = int((stored < np.minimum(flows.num_packets, max_packets)).sum())
  if num_short:
    logging.warning(
      "%s: %d flows are cut to %d packets or fewer, where %d are to be stored",
      path,
      num_short,
      stored.max(),
      max_packets,
    )
  return flows


def _download(dl_manager: tfds.download.DownloadManager) -> pathlib.Path:
  url = sources.CURATED_URL
  advice = f"fetch {url} by hand and give its folder as manual_dir"
  try:
    path = pathlib.Path(dl_manager.download(url))
  except Exception as error:  # TFDS and its HTTP library raise many kinds of errors.
    raise InputError(
      f"{url}: the download failed ({_one_line(error)}); try again, or {advice}"
    ) from error
  try:
    sources.check_md5(path, sources.CURATED_MD5["tarball"], str(path))
  except InputError as error:
    # Otherwise TFDS would use it as the download of the next attempt.
    path.unlink()
    pathlib.Path(f"{path}.INFO").unlink(missing_ok=True)
    raise InputError(f"{error}; if it is the same again, {advice}") from error
  return path


def _manual_dir(dl_manager: tfds.download.DownloadManager) -> pathlib.Path | None:
  try:
    # Not resolved: a link's own name may say which partition it leads to.
    return pathlib.Path(dl_manager.manual_dir).absolute()
  except AssertionError:  # TFDS raises it if the folder is missing or empty.
    return None


def _log_skipped(error: InputError) -> None:
  logging.warning("Skipped %s", error)


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split()) or type(error).__name__


def _batched(items, size: int) -> list:
  """Consecutive slices of `size` items."""
  return [items[start : start + size] for start in range(0, len(items), size)]
