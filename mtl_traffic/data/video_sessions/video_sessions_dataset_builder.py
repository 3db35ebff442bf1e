"""Video sessions of the Encrypted Video Traffic Trace Dataset as a TFDS builder."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow_datasets as tfds
from absl import logging

from mtl_traffic.data import labelled_captures, tfds_flows
from mtl_traffic.data.tfds_flows import FirstPacketsConfig
from mtl_traffic.data.video_sessions import sources


def config(max_packets: int = 256) -> FirstPacketsConfig:
  """The config `first256`, or one that stores another number of packets."""
  return tfds_flows.first_packets_config(Builder, max_packets)


class Builder(tfds_flows.FlowsBuilder):
  """The video sessions that are in `manual_dir`, each as a flow. A shard is a file.

  Preparation raises `mtl_traffic.errors.InputError` if the input cannot be used.
  """

  CLASS_NAMES = sources.CLASS_NAMES
  BUILDER_CONFIGS = [  # noqa: RUF012
    FirstPacketsConfig(
      name="first256", description="The first 256 packets of each session."
    )
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Put the published files into the folder and keep their subfolders:
  Dataset/<Platform>/<resolution>/<n>_merged_<m>.csv
  """

  def _shard_iterators_per_split(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Sequence[Callable[[], Iterator[tuple[str, dict]]]]]:
    folder = labelled_captures.manual_dir(dl_manager, "the video sessions")
    files, left_out = sources.find_files(folder)
    for path in left_out:
      logging.info("Left out %s: platform or resolution is not known", path)
    shards = [
      functools.partial(_examples, file, self.builder_config.max_packets)
      for file in files
    ]
    return {"sessions": shards}


def _examples(
  file: sources.SessionFile, max_packets: int
) -> Iterator[tuple[str, dict]]:
  for name, flow in sources.read_sessions(file.path, max_packets):
    flow_id = f"{file.name}#{name}"
    fields = flow._asdict()
    del fields["was_sorted"]
    yield flow_id, tfds_flows.example(**fields, label=file.class_name, flow_id=flow_id)
