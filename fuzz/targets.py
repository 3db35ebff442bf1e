"""Fuzz targets, one for each parser of untrusted input.

A target takes any bytes. It must return or raise `InputError`. Any other error is a
finding; so is too much time or memory for the size of the input.
"""

import contextlib
import gzip
import io
import json
import pathlib
import tempfile
import zipfile
from collections.abc import Callable

import numpy as np

from mtl_traffic.comparison import workdir
from mtl_traffic.data import captures, parquet, text
from mtl_traffic.data.captures import labels
from mtl_traffic.data.iscx_vpn2016 import categories
from mtl_traffic.data.ucdavis_icdm19 import sources
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, pad_packets, validate
from mtl_traffic.serving import model_schema
from tests.data import capture_files

Target = Callable[[bytes], None]


def _of_file(name: str, read: Callable[[pathlib.Path], object]) -> Target:
  """Makes a target from a parser that reads a file of this name."""

  def target(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
      path = pathlib.Path(folder, name)
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(data)
      with contextlib.suppress(InputError):
        read(path)

  return target


def _read_capture(path: pathlib.Path) -> None:
  accounts = captures.Accounts()
  num_packets = 0
  for captured in captures.read_flows(path, accounts):
    validate(captured.flows, "fuzz")
    num_packets += int(captured.flows.num_packets.sum())
  if num_packets != accounts.num_in_flows:
    raise AssertionError(f"{num_packets} packets in flows of {accounts.num_in_flows}")


def _read_parquet(path: pathlib.Path) -> None:
  validate(parquet.read(path), "fuzz")
  parquet.read_rules(path)


def _read_zip(path: pathlib.Path) -> None:
  sources.read_flows(sources.find_flow_files(path.parent), 16)


def _check_model(data: bytes) -> None:
  with contextlib.suppress(ValueError):  # InputError is one.
    model_schema.check(model_schema.parse(data))


def _parse_text(data: bytes) -> None:
  with contextlib.suppress(InputError):
    text.parse(data, "fuzz", 16)


TARGETS: dict[str, Target] = {
  "capture": _of_file("capture.pcap", _read_capture),
  "labels": _of_file("labels.csv", labels.read_labels),
  "parquet": _of_file("flows.parquet", _read_parquet),
  "text": _parse_text,
  "zip": _of_file("pretraining.zip", _read_zip),
  "categories": _of_file("categories.csv", categories.read_table),
  "model": _check_model,
  "rows": _of_file("results.jsonl", lambda path: workdir.read_rows(path.parent)),
  "config": _of_file("config.json", lambda path: workdir.read_config(path.parent)),
}


def seeds(name: str) -> list[bytes]:
  """The inputs that a target begins with: small valid files."""
  return _SEEDS[name]()


def _capture_seeds() -> list[bytes]:
  packets = [
    (0, capture_files.ip_packet(flags=capture_files.SYN)),
    (10**6, capture_files.ip_packet(flags=capture_files.ACK, payload=9)),
    (2 * 10**6, capture_files.ip_packet(payload=5)),
    (3 * 10**6, capture_files.ip_packet(flags=capture_files.FIN)),
  ]
  blocks = capture_files.section() + capture_files.interface()
  blocks += capture_files.interface(capture_files.ETHERNET, resolution=0x89, offset=7)
  for time, packet in packets:
    blocks += capture_files.enhanced(time, packet)
  plain = capture_files.pcap(packets)
  return [plain, blocks, gzip.compress(plain), gzip.compress(blocks)]


def _flows() -> Flows:
  counts = np.array([2, 3])
  packets, _ = pad_packets(
    np.arange(5.0), np.arange(5) + 60, np.array([1, -1, 1, 1, -1]), counts, 3
  )
  return Flows(
    packets=packets,
    num_packets=counts,
    durations=np.array([1.0, 2.0]),
    num_bytes=np.array([121, 189]),
    classes=np.array([0, 1], np.int32),
    partitions=np.zeros(2, np.int32),
    ids=np.array(["a", "b"]),
    class_names=("x", "y"),
    partition_names=("p",),
  )


def _parquet_seeds() -> list[bytes]:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "flows.parquet")
    parquet.write(_flows(), path, {"payload_lengths": False})
    return [path.read_bytes()]


_TEXT = b"1.5\t0.0\t100\t1\n1.75\t0.25\t200\t0\n"


def _zip_seeds() -> list[bytes]:
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("pretraining/Youtube/Youtube-1.txt", _TEXT)
  return [content.getvalue()]


def _model_seeds() -> list[bytes]:
  content = {
    "format": 3,
    "method": "multitask",
    "settings": {"epochs": 1, "tasks": ["bandwidth"], "iat_range": [0.0, 1.0]},
    "k": 8,
    "min_packets": 1,
    "rules": {"payload_lengths": False, "udp_silence_s": 15.0},
    "class_names": ["a", "b"],
    "dividers": {"bandwidth": [1.0, 2.0]},
    "temperatures": {"bandwidth": 1.0, "class": 1.0},
    "digest": "0",
  }
  return [json.dumps(content).encode()]


_SEEDS = {
  "capture": _capture_seeds,
  "labels": lambda: [
    b"capture,label\na.pcap,x\n",
    b"source,source_port,destination,destination_port,protocol,label\n"
    b"10.0.0.1,1,10.0.0.2,80,TCP,x\n::1,1,::2,2,17,y\n",
  ],
  "parquet": _parquet_seeds,
  "text": lambda: [_TEXT],
  "zip": _zip_seeds,
  "categories": lambda: [categories.TABLE.read_bytes()],
  "model": _model_seeds,
  "rows": lambda: [b'{"method": "multitask", "seed": 0}\n{"seed": 1}\n'],
  "config": lambda: [b'{"meaning": {"experiment": "label_budget"}}'],
}
