"""The ISCX VPN-nonVPN dataset of the paper (section IV-B) as a TFDS builder."""

import collections
import dataclasses
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow_datasets as tfds
from absl import logging

from mtl_traffic.data import captures, labelled_captures, tfds_flows
from mtl_traffic.data.iscx_vpn2016 import categories
from mtl_traffic.data.iscx_vpn2016.categories import CATEGORIES, Capture
from mtl_traffic.data.labelled_captures import CaptureShard
from mtl_traffic.errors import InputError

_MAX_PACKETS = 256  # As for the QUIC dataset.
_HELD_OUT_EVERY = 4


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
  """What is stored from the dataset; made by `config`.

  Attributes:
    max_packets: how many packets of each flow are stored.
    by_capture: whether splits are `training` and `held_out`, of different captures,
      rather than `vpn` and `nonvpn`.
    table: the file that says which capture has which category.
  """

  max_packets: int = _MAX_PACKETS
  by_capture: bool = False
  table: str = str(categories.TABLE)


def config(
  max_packets: int = _MAX_PACKETS,
  by_capture: bool = False,
  table: str | os.PathLike = categories.TABLE,
) -> Config:
  """The config `first256`, `first256_by_capture`, or a variant of them.

  Args:
    max_packets: how many packets of each flow are stored.
    by_capture: whether captures are split into `training` and `held_out`.
    table: the table of categories. If it is not the default one, its checksum becomes
      part of the config's name.

  Raises:
    InputError: the table cannot be used.
  """
  name = f"first{max_packets}" + "_by_capture" * by_capture
  rows = categories.read_table(table)
  if rows != categories.read_table():
    name += f"_{zlib.crc32(repr(rows).encode()):08x}"
  for known in Builder.BUILDER_CONFIGS:
    if known.name == name:
      return known
  return Config(
    name=name,
    max_packets=max_packets,
    by_capture=by_capture,
    table=str(table),
  )


class Builder(tfds_flows.FlowsBuilder):
  """The flows of the ISCX VPN-nonVPN captures that are in `manual_dir`.

  Flows end as `captures.Rules` says. A shard is a capture. If the `DownloadConfig` has
  a `beam_runner` or `beam_options`, Apache Beam is used, with one task per capture.

  Preparation raises `mtl_traffic.errors.InputError` if the input cannot be used.
  """

  CLASS_NAMES = CATEGORIES
  BUILDER_CONFIGS = [  # noqa: RUF012
    Config(name="first256", description="The first 256 packets of each flow."),
    Config(
      name="first256_by_capture",
      description="The same, split by capture.",
      by_capture=True,
    ),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Put the captures into the folder, named as published, unpacked or as gzip; see
  https://www.unb.ca/cic/datasets/vpn.html
  """

  def _shard_iterators_per_split(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Sequence[Callable[[], Iterator[tuple[str, dict]]]]]:
    table = categories.read_table(self.builder_config.table)
    found, left_out = categories.find_captures(
      labelled_captures.manual_dir(dl_manager, "the ISCX captures"), table
    )
    for name, reason in left_out.items():
      logging.info("Left out %s: %s", name, reason)
    split = by_capture if self.builder_config.by_capture else by_vpn
    rules = captures.Rules(max_packets=self.builder_config.max_packets)
    return {
      name: [
        CaptureShard(capture.path, capture.category, CATEGORIES, rules)
        for capture in members
      ]
      for name, members in split(found).items()
    }


def by_vpn(found: Sequence[Capture]) -> dict[str, list[Capture]]:
  """The captures with VPN and those without, if there are any."""
  splits = {
    "vpn": [capture for capture in found if capture.is_vpn],
    "nonvpn": [capture for capture in found if not capture.is_vpn],
  }
  return {name: members for name, members in splits.items() if members}


def by_capture(found: Sequence[Capture]) -> dict[str, list[Capture]]:
  """Holds out every fourth capture of a category, with and without VPN.

  Raises:
    InputError: there are too few captures to hold one out.
  """
  alike = collections.defaultdict(list)
  for capture in found:
    alike[capture.category, capture.is_vpn].append(capture)
  held_out = {
    capture.path
    for members in alike.values()
    for capture in members[1::_HELD_OUT_EVERY]
  }
  if not held_out:
    raise InputError(
      "no category has two captures with VPN, or two without, so none can be held out"
    )
  return {
    "training": [capture for capture in found if capture.path not in held_out],
    "held_out": [capture for capture in found if capture.path in held_out],
  }
