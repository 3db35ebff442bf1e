"""The set-up captures of IoT Sentinel (Aalto University) as a TFDS builder."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow_datasets as tfds
from absl import logging

from mtl_traffic.data import captures, labelled_captures, tfds_flows
from mtl_traffic.data.iot_devices.devices import DEVICES, find_captures
from mtl_traffic.data.labelled_captures import CaptureShard


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
  """What is stored of the dataset: the first packets of each flow."""

  max_packets: int = 256


def config(max_packets: int = 256) -> Config:
  """The config `first256`, or one of another length."""
  if max_packets == Config.max_packets:
    return Builder.BUILDER_CONFIGS[0]
  return Config(name=f"first{max_packets}", max_packets=max_packets)


class Builder(tfds.core.ShardBasedBuilder):
  """The flows of the captures of IoT devices that are in `manual_dir`.

  Flows end as `captures.Rules` says. A shard is a capture.

  Preparation raises `mtl_traffic.errors.InputError` if the input cannot be used.
  """

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012
  BUILDER_CONFIGS = [  # noqa: RUF012
    Config(name="first256", description="The first 256 packets of each flow.")
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Put the captures into the folder as published, a folder a device; look for "IoT
  devices captures" of Aalto University, https://research.aalto.fi
  """

  def __init__(self, **kwargs):
    super().__init__(**{"file_format": "array_record", **kwargs})

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=tfds_flows.features(DEVICES),
      supervised_keys=None,
      disable_shuffling=True,
    )

  def _shard_iterators_per_split(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Sequence[Callable[[], Iterator[tuple[str, dict]]]]]:
    folder = labelled_captures.manual_dir(dl_manager, "the captures of IoT devices")
    found, left_out = find_captures(folder)
    for path in left_out:
      logging.info("Left out %s: of no known device", path)
    rules = captures.Rules(max_packets=self.builder_config.max_packets)
    return {
      "setup": [
        CaptureShard(path, device, DEVICES, rules, prefix=f"{name}/")
        for path, device, name in found
      ]
    }
