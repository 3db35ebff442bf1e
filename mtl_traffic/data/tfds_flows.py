"""Stores flows with TensorFlow Datasets (TFDS), and reads them back as `Flows`.

Builders share `features`, and store what `examples` yields in array_record files. They
keep the source's order of flows. Their splits are the source's partitions.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from mtl_traffic import flows as flows_lib
from mtl_traffic.errors import InputError, first_line
from mtl_traffic.flows import Flows

# TFDS's protocol buffers have only float32 and int64. These would round times and
# enlarge directions, so series and reals are stored as raw bytes.
_SERIES = {"times": np.float64, "lengths": np.int32, "directions": np.int8}
_REAL = tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes")


def features(class_names: tuple[str, ...]) -> tfds.features.FeaturesDict:
  """The TFDS features of a single flow, named after the fields of `Flows`."""
  series = {
    name: tfds.features.Tensor(shape=(None,), dtype=dtype, encoding="bytes")
    for name, dtype in _SERIES.items()
  }
  return tfds.features.FeaturesDict(
    {
      **series,
      "num_packets": np.int64,
      "duration": _REAL,
      "num_bytes": np.int64,
      "class": tfds.features.ClassLabel(names=class_names),
      "id": tfds.features.Text(),
    }
  )


def example(
  times: np.ndarray,
  lengths: np.ndarray,
  directions: np.ndarray,
  num_packets: int,
  duration: float,
  num_bytes: int,
  label: int | str,
  flow_id: str,
) -> dict[str, Any]:
  """The TFDS example of a flow.

  Args:
    times: `[P]` seconds since the first packet, never decreasing.
    lengths: `[P]` bytes.
    directions: `[P]` +1 client → server, −1 server → client.
    num_packets: packets of the whole flow.
    duration: seconds from the first packet to the last.
    num_bytes: bytes of the whole flow.
    label: the class, by name or index; −1 = unknown.
    flow_id: the flow's identifier in the source.
  """
  series = {"times": times, "lengths": lengths, "directions": directions}
  return {
    **{name: np.asarray(series[name], dtype) for name, dtype in _SERIES.items()},
    "num_packets": int(num_packets),
    "duration": np.float64(duration),
    "num_bytes": int(num_bytes),
    "class": label,
    "id": flow_id,
  }


def examples(flows: Flows) -> Iterator[tuple[str, dict[str, Any]]]:
  """Yields the key and the TFDS example of each flow, in order."""
  packets = flows.packets
  for row, count in enumerate(packets.counts):
    flow_id = str(flows.ids[row])
    yield (
      flow_id,
      example(
        packets.times[row, :count],
        packets.lengths[row, :count],
        packets.directions[row, :count],
        flows.num_packets[row],
        flows.durations[row],
        flows.num_bytes[row],
        int(flows.classes[row]),
        flow_id,
      ),
    )


@dataclasses.dataclass(eq=False)
class FirstPacketsConfig(tfds.core.BuilderConfig):
  """A builder config that stores the first packets of each flow."""

  max_packets: int = 256


class FlowsBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
  """Base class of the builders of flows.

  Attributes:
    CLASS_NAMES: the traffic classes.
  """

  CLASS_NAMES: ClassVar[tuple[str, ...]]
  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}

  def __init__(self, **kwargs):
    super().__init__(**{"file_format": "array_record", **kwargs})

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=features(self.CLASS_NAMES), supervised_keys=None, disable_shuffling=True
    )


def first_packets_config(
  builder: type[FlowsBuilder], max_packets: int
) -> FirstPacketsConfig:
  """The config `first256`, or one that stores another number of packets."""
  name = f"first{max_packets}"
  for known in builder.BUILDER_CONFIGS:
    if known.name == name:
      return known
  return FirstPacketsConfig(name=name, max_packets=max_packets)


def prepare(
  builder: tfds.core.DatasetBuilder,
  manual_dir: str | os.PathLike | None = None,
  **config,
) -> None:
  """Downloads and prepares a dataset, unless it exists already.

  Args:
    builder: the dataset's builder, with its target folder.
    manual_dir: a folder with the files that the user downloaded.
    **config: further arguments of `tfds.download.DownloadConfig`, such as
      `beam_runner`.

  Raises:
    InputError: the input cannot be used, or the folder cannot be written. The partial
      dataset is then removed; other datasets are not touched.
  """
  if manual_dir is not None and not pathlib.Path(manual_dir).expanduser().is_dir():
    raise InputError(f"{manual_dir}: no such folder; give an existing manual_dir")
  download_config = tfds.download.DownloadConfig(manual_dir=manual_dir, **config)
  try:
    builder.download_and_prepare(download_config=download_config)
  except (OSError, RuntimeError) as error:  # RuntimeError: array_record on a full disk.
    reason = getattr(error, "strerror", None) or first_line(error).partition(";")[0]
    raise InputError(
      f"{builder.data_dir}: cannot be prepared: {reason}; "
      "nothing of it was kept; solve this and start again"
    ) from error


def load(builder: tfds.core.DatasetBuilder, max_packets: int | None = None) -> Flows:
  """Reads all splits of a prepared builder; partition = split.

  Args:
    builder: a builder whose features are `features(...)`, already prepared.
    max_packets: how many packets of each flow to keep; by default all that are stored.

  Raises:
    InputError: the dataset is not prepared, or its files are damaged.
  """
  if not builder.is_prepared():
    raise InputError(f"{builder.data_dir}: not prepared; call download_and_prepare")
  splits = builder.info.splits
  try:
    stored = [
      example for split in splits for example in builder.as_data_source(split=split)
    ]
  except Exception as error:  # array_record passes on any error of its C++ code.
    raise InputError(
      f"{builder.data_dir}: cannot be read ({first_line(error)}); "
      "delete it and prepare it again"
    ) from error
  if not stored:
    raise InputError(f"{builder.data_dir}: holds no flows")

  def column(name: str, dtype) -> np.ndarray:
    return np.array([example[name] for example in stored], dtype)

  packets, _ = flows_lib.pad_packets(
    *(np.concatenate([example[name] for example in stored]) for name in _SERIES),
    counts=np.array([len(example["times"]) for example in stored]),
    max_packets=max_packets,
  )
  sizes = [splits[split].num_examples for split in splits]
  return Flows(
    packets=packets,
    num_packets=column("num_packets", np.int64),
    durations=column("duration", np.float64),
    num_bytes=column("num_bytes", np.int64),
    classes=column("class", np.int32),
    partitions=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
    ids=np.array([_text(example["id"]) for example in stored], np.str_),
    class_names=tuple(builder.info.features["class"].names),
    partition_names=tuple(splits),
  )


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else value
