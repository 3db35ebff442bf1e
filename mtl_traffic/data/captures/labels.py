"""Classes of captured flows, from a table of captures or of five-tuples."""

import csv
import dataclasses
import ipaddress
import os
import pathlib
import socket

import numpy as np

from mtl_traffic.data.captures.captured_flows import CapturedFlows
from mtl_traffic.errors import InputError
from mtl_traffic.flows import UNKNOWN, Flows

_ENDPOINTS = ("source", "source_port", "destination", "destination_port")
_FIVE_TUPLE = (*_ENDPOINTS, "protocol")
_PROTOCOLS = {"tcp": 6, "6": 6, "udp": 17, "17": 17}

# The endpoints in ascending order, and the protocol.
FiveTuple = tuple[tuple[str, int], tuple[str, int], int]
# What a label is of: a capture or "" for all, and a five-tuple or None for all of it.
Key = tuple[str, FiveTuple | None]


@dataclasses.dataclass(frozen=True)
class Labels:
  """Which class flows have.

  A five-tuple's label counts more than that of its capture, and one that holds for a
  capture only counts more than one that holds for all.

  Attributes:
    of_captures: capture (file name) → label.
    of_five_tuples: (capture or "" for all, five-tuple) → label.
  """

  of_captures: dict[str, str] = dataclasses.field(default_factory=dict)
  of_five_tuples: dict[tuple[str, FiveTuple], str] = dataclasses.field(
    default_factory=dict
  )

  @property
  def class_names(self) -> tuple[str, ...]:
    names = {*self.of_captures.values(), *self.of_five_tuples.values()}
    return tuple(sorted(names))

  def apply(self, captured: CapturedFlows) -> Flows:
    """The flows with their classes; −1 for those without a label."""
    names = self.class_names
    files, partitions = captured.flows.partition_names, captured.flows.partitions
    by_default = [self.of_captures.get(file) for file in files]
    classes = np.array(
      [UNKNOWN if label is None else names.index(label) for label in by_default],
      np.int32,
    )[partitions]
    if self.of_five_tuples:
      for row, five_tuple in enumerate(_five_tuples(captured)):
        for scope in (files[partitions[row]], ""):
          label = self.of_five_tuples.get((scope, five_tuple))
          if label is not None:
            classes[row] = names.index(label)
            break
    return captured.flows.replace(classes=classes, class_names=names)

  def keys_of(self, captured: CapturedFlows) -> "set[Key]":
    """The keys of those labels that apply to some of the flows."""
    files = [captured.flows.partition_names[i] for i in captured.flows.partitions]
    keys: set[Key] = {(file, None) for file in set(files) if file in self.of_captures}
    if self.of_five_tuples:
      pairs = zip(files, _five_tuples(captured), strict=True)
      scoped = {(scope, of) for file, of in pairs for scope in (file, "")}
      keys |= scoped & self.of_five_tuples.keys()
    return keys

  @property
  def keys(self) -> "set[Key]":
    """The keys of all labels."""
    return {(capture, None) for capture in self.of_captures} | {*self.of_five_tuples}


def read_labels(path: str | os.PathLike) -> Labels:
  """Reads labels from a CSV file with a header.

  Columns `capture,label` label all flows of a capture, given by its file name. Columns
  `source,source_port,destination,destination_port,protocol,label`, in either direction,
  label a five-tuple; of one capture only if there is a column `capture` too. Both may
  stand in one file, fields that do not apply being empty.

  Raises:
    InputError: naming the file, the line, and what is wrong there.
  """
  path = pathlib.Path(path)
  labels = Labels()
  try:
    with path.open(newline="", encoding="utf-8-sig") as file:
      rows = csv.DictReader(file)
      _check_header(path, rows.fieldnames or [])
      for row in rows:
        _add(labels, row, f"{path}: line {rows.line_num}")
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}; give a CSV file of labels") from error
  except (csv.Error, UnicodeDecodeError) as error:
    raise InputError(f"{path}: not a CSV file ({error})") from error
  if not labels.class_names:
    raise InputError(f"{path}: holds no labels")
  return labels


def _check_header(path: pathlib.Path, names: list[str]) -> None:
  has_five_tuple = all(name in names for name in _FIVE_TUPLE)
  if "label" not in names or not ("capture" in names or has_five_tuple):
    raise InputError(
      f"{path}: line 1: the columns are {','.join(names)}; they must be capture,label "
      f"or {','.join(_FIVE_TUPLE)},label"
    )


def _add(labels: Labels, row: dict[str, str], where: str) -> None:
  values = {name: (row.get(name) or "").strip() for name in row if name}
  label, capture = values.get("label", ""), values.get("capture", "")
  if not label:
    raise InputError(f"{where}: label is missing")
  given = [name for name in _FIVE_TUPLE if values.get(name)]
  if given:
    table, key = labels.of_five_tuples, (capture, _parse(values, where))
  elif capture:
    table, key = labels.of_captures, capture
  else:
    raise InputError(f"{where}: neither capture nor five-tuple is given")
  if table.setdefault(key, label) != label:
    raise InputError(f"{where}: labelled {label!r}, but {table[key]!r} before")


def _parse(values: dict[str, str], where: str) -> FiveTuple:
  protocol = _PROTOCOLS.get(values.get("protocol", "").lower())
  if protocol is None:
    raise InputError(f"{where}: protocol is {values.get('protocol')!r}, not TCP or UDP")
  endpoints = []
  for side in ("source", "destination"):
    address, port = values.get(side, ""), values.get(f"{side}_port", "")
    try:
      endpoints.append((_as_captured(address), int(port)))
    except ValueError:
      raise InputError(
        f"{where}: {side} is {address!r}, port {port!r}; give IP address and number"
      ) from None
  first, second = sorted(endpoints)
  return first, second, protocol


def _as_captured(address: str) -> str:
  """An address, however it is written, as captured flows have it: without a zone."""
  parsed = ipaddress.ip_address(address.partition("%")[0])
  family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
  return socket.inet_ntop(family, parsed.packed)


def _five_tuples(captured: CapturedFlows):
  clients = zip(captured.client_addresses, captured.client_ports.tolist(), strict=True)
  servers = zip(captured.server_addresses, captured.server_ports.tolist(), strict=True)
  protocols = captured.protocols.tolist()
  for client, server, protocol in zip(clients, servers, protocols, strict=True):
    yield (*sorted((client, server)), protocol)
