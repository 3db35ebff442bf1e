"""Turns captures into a Parquet file of flows, ready for `--dataset=flows.parquet`.

    mtl-traffic extract-flows --captures='DIR/*.pcap' --labels=labels.csv \\
      --out=flows.parquet

Captures are pcap or pcapng, plain or compressed. Files that follow each other in time
count as one capture: a flow continues from one file to the next. `--labels` names a CSV
file with the column `label`, and some of `capture`, `address`, `source`,
`source_port`, `destination`, `destination_port`, `protocol`, `start` and `end`, which
select flows. Without labels, flows have no class. The flows that begin in a file form a
partition. The output records how its flows were made, such as their time-outs, and so
does a model that is trained on it.

With --runner, the workers of Apache Beam read the captures. They need to see the
captures, and the folder of --out, under the same paths.
"""

import os
import pathlib
from collections.abc import Iterator

from absl import flags, logging

from mtl_traffic import files
from mtl_traffic.commands import capture_flags, cli
from mtl_traffic.data import captures
from mtl_traffic.data.beam_workers import BeamWorkers
from mtl_traffic.data.captures import extraction
from mtl_traffic.data.captures.labels import Labels, read_labels
from mtl_traffic.errors import InputError
from mtl_traffic.escapes import for_terminal

USES_JAX = False


def define_flags() -> None:
  capture_flags.define(captures.DEFAULT_RULES)
  flags.DEFINE_string("labels", None, "A CSV file of labels; none by default.")
  flags.DEFINE_string("out", "flows.parquet", "The Parquet file to write.")
  flags.DEFINE_integer(
    "processes",
    os.cpu_count(),
    "Captures that are read in parallel; by default one per core.",
    lower_bound=1,
  )
  flags.DEFINE_string(
    "runner",
    None,
    "Read captures by this runner of Apache Beam instead, such as FnApiRunner, "
    "FlinkRunner or DataflowRunner (extra beam).",
  )
  flags.DEFINE_list(
    "beam_options",
    [],
    "Options of Beam's pipelines, separated by commas: "
    "'direct_num_workers=2,direct_running_mode=multi_processing'.",
  )
  flags.DEFINE_bool(
    "payload_lengths", False, "Count bytes of payload rather than of IP packets."
  )
  flags.DEFINE_integer(
    "max_packets",
    captures.DEFAULT_RULES.max_packets,
    "Packets stored of each flow; its totals always count all packets.",
  )


def main() -> None:
  args = flags.FLAGS
  with cli.naming("--out"):
    files.check_new(args.out)
  beam = _beam()
  rules = captures.Rules(
    payload_lengths=args.payload_lengths,
    max_packets=args.max_packets,
    reorder_s=capture_flags.reorder_s(captures.DEFAULT_RULES.reorder_s),
    **capture_flags.given(),
  )
  paths = capture_flags.find_captures()
  labels = read_labels(args.labels) if args.labels else Labels()
  accounts = extraction.extract(
    paths,
    pathlib.Path(args.out),
    labels,
    rules,
    args.processes,
    args.each_capture_alone,
    beam,
  )
  for warning in accounts.warnings + accounts.notices:
    logging.warning("%s", warning)
  print(accounts.summary())
  if args.labels:
    print("\n".join(_on_labels(labels, accounts, paths)))
  print(f"wrote {args.out}")


def _beam() -> BeamWorkers | None:
  """The workers that --runner asks for; None without.

  Raises:
    InputError: they cannot be had.
  """
  args = flags.FLAGS
  if args.runner is None:
    if args.beam_options:
      raise InputError("--beam_options: goes with --runner, so give that too")
    return None
  if flags.FLAGS["processes"].present:
    raise InputError("--processes: of this machine; the runner has workers of its own")
  with cli.naming("--runner"):
    return BeamWorkers(args.runner, args.beam_options)


def _on_labels(
  labels: Labels, accounts: captures.Accounts, read: list[pathlib.Path]
) -> Iterator[str]:
  """What became of the labels, a line each."""
  yield f"labelled: {accounts.labelled.total()} of {accounts.num_flows} flows"
  for name in labels.class_names:
    yield f"  {for_terminal(name)}: {accounts.labelled[name]}"
  for notice in capture_flags.unused_labels(labels, accounts, read):
    yield f"  {flags.FLAGS.labels}: {notice}"
