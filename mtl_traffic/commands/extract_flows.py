"""Turns captures into a Parquet file of flows, ready for `--dataset=flows.parquet`.

    mtl-traffic extract-flows --captures='DIR/*.pcap' --labels=labels.csv \\
      --out=flows.parquet

Captures are pcap or pcapng, plain or compressed. Files that follow each other in time
are one capture: flows go on from one to the next. The labels are a CSV file with the
columns `capture,label`, or
`source,source_port,destination,destination_port,protocol,label`; without, the flows
have no class. Each file is a partition, of the flows that begin in it. The output
remembers what made its flows, their time-outs say, and so does any model trained on it.
"""

import os
import pathlib

from absl import flags, logging

from mtl_traffic.commands import capture_flags
from mtl_traffic.data import captures
from mtl_traffic.data.captures import extraction
from mtl_traffic.data.captures.labels import Labels, read_labels

USES_JAX = False


def define_flags() -> None:
  capture_flags.define(captures.DEFAULT_RULES)
  flags.DEFINE_string("labels", None, "A CSV file of labels; none by default.")
  flags.DEFINE_string("out", "flows.parquet", "The Parquet file to write.")
  flags.DEFINE_integer(
    "processes", os.cpu_count(), "Captures that are read at a time.", lower_bound=1
  )
  flags.DEFINE_bool(
    "payload_lengths", False, "Count bytes of payload rather than of IP packets."
  )
  flags.DEFINE_integer(
    "max_packets",
    captures.DEFAULT_RULES.max_packets,
    "Packets kept of each flow; totals are of all.",
  )


def main() -> None:
  args = flags.FLAGS
  rules = captures.Rules(
    payload_lengths=args.payload_lengths,
    max_packets=args.max_packets,
    reorder_s=capture_flags.reorder_s(captures.DEFAULT_RULES.reorder_s),
    **capture_flags.given(),
  )
  paths = capture_flags.find_captures()
  labels = read_labels(args.labels) if args.labels else Labels()
  names = set(map(captures.sources.name_of, paths))
  for name in sorted(set(labels.of_captures) - names):
    logging.warning("%s: labels %s, which is not read", args.labels, name)
  accounts = extraction.extract(
    paths,
    pathlib.Path(args.out),
    labels,
    rules,
    args.processes,
    args.each_capture_alone,
  )
  for warning in accounts.warnings + accounts.notices:
    logging.warning("%s", warning)
  print(accounts.summary())
  print(f"wrote {args.out}")
