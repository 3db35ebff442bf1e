"""The set-up captures of IoT Sentinel (Aalto University) as a TFDS builder."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow_datasets as tfds
from absl import logging

from mtl_traffic.data import captures, labelled_captures, tfds_flows
from mtl_traffic.data.iot_devices.devices import DEVICES, find_captures
from mtl_traffic.data.labelled_captures import CaptureShard
from mtl_traffic.data.tfds_flows import FirstPacketsConfig


def config(max_packets: int = 256) -> FirstPacketsConfig:
  """The config `first256`, or one that stores another number of packets."""
  return tfds_flows.first_packets_config(Builder, max_packets)


class Builder(tfds_flows.FlowsBuilder):
  """The flows of the captures of IoT devices that are in `manual_dir`.

  Flows end as `captures.Rules` says. A shard is a capture.

  Preparation raises `mtl_traffic.errors.InputError` if the input cannot be used.
  """

  CLASS_NAMES = DEVICES
  BUILDER_CONFIGS = [  # noqa: RUF012
    FirstPacketsConfig(
      name="first256", description="The first 256 packets of each flow."
    )
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Put the captures into the folder as published, with one subfolder per device. They are
  "IoT devices captures" of Aalto University, https://research.aalto.fi
  """

  def _shard_iterators_per_split(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Sequence[Callable[[], Iterator[tuple[str, dict]]]]]:
    folder = labelled_captures.manual_dir(dl_manager, "the captures of IoT devices")
    found, left_out = find_captures(folder)
    for path in left_out:
      logging.info("Left out %s: the device is not known", path)
    rules = captures.Rules(max_packets=self.builder_config.max_packets)
    return {
      "setup": [
        CaptureShard(path, device, DEVICES, rules, prefix=f"{name}/")
        for path, device, name in found
      ]
    }
