"""TFDS examples from captures, each of a single class."""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from mtl_traffic.data import captures, tfds_flows
from mtl_traffic.errors import InputError


@dataclasses.dataclass(frozen=True)
class CaptureShard:
  """Yields the examples of a capture.

  Attributes:
    path: the capture.
    label: the class of all its flows.
    class_names: the classes.
    rules: how packets are assembled into flows.
    prefix: the prefix of its flows' ids.
  """

  path: pathlib.Path
  label: str
  class_names: tuple[str, ...]
  rules: captures.Rules
  prefix: str = ""

  def __call__(self) -> Iterator[tuple[str, dict]]:
    accounts = captures.Accounts()
    label = self.class_names.index(self.label)
    for captured in captures.read_flows(self.path, accounts, self.rules):
      flows = captured.flows
      yield from tfds_flows.examples(
        flows.replace(
          classes=np.full(len(flows), label, np.int32),
          class_names=self.class_names,
          ids=np.char.add(self.prefix, flows.ids) if self.prefix else flows.ids,
        )
      )
    for warning in accounts.warnings:
      logging.warning("%s", warning)
    logging.info(
      "%s: %d flows of %d packets; skipped %s",
      self.path,
      accounts.num_flows,
      accounts.num_in_flows,
      dict(accounts.skipped) or "none",
    )


def manual_dir(dl_manager: tfds.download.DownloadManager, what: str) -> pathlib.Path:
  """The folder that the user gave.

  Raises:
    InputError: it is missing or empty; the message asks for the folder of `what`.
  """
  try:
    return pathlib.Path(dl_manager.manual_dir)
  except AssertionError:  # TFDS raises it if the folder is missing or empty.
    raise InputError(
      f"manual_dir is missing or empty; give the folder of {what}"
    ) from None
