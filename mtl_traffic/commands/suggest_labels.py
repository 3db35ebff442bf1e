"""Suggests which flows to label: typical flows that differ from each other.

    mtl-traffic suggest-labels --dataset=flows.parquet --number=25 --out=to_label.csv

Writes one line per suggested flow, the most useful first: where and when it was seen,
its totals, and how many other flows it represents. Fill in the column `label`, and pass
the file to `mtl-traffic extract-flows --labels`. Flows that already have a label count
as chosen, so a second call suggests others.
"""

import pathlib

import numpy as np
from absl import flags

from mtl_traffic import files
from mtl_traffic.commands import cli
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError
from mtl_traffic.tables import csv_text

USES_JAX = True
# Column in a table of labels → column of flows from captures.
_COLUMNS = {
  "source": "client_address",
  "source_port": "client_port",
  "destination": "server_address",
  "destination_port": "server_port",
  "protocol": "protocol",
  "start": "start_time",
}


def define_flags() -> None:
  cli.define_required("dataset", "the Parquet file of flows")
  cli.define_required("out", "the .csv file to write")
  flags.DEFINE_integer("number", 25, "Number of flows to suggest.", lower_bound=1)
  flags.DEFINE_integer(
    "seed", 0, "Random seed of the trees that compare flows.", lower_bound=0
  )


def main() -> None:
  # Imported here: it needs JAX, and --help does not.
  from mtl_traffic import labelling

  args = flags.FLAGS
  out = pathlib.Path(args.out)
  if out.suffix != ".csv":
    raise InputError(f"--out: {out} must end in .csv")
  with cli.naming("--out"):
    files.check_new(out)
  flows = parquet.read(args.dataset)
  is_labelled = flows.classes >= 0
  if is_labelled.all():
    raise InputError(f"{args.dataset}: every flow already has a label")
  columns = labelling.columns(flows)
  suggested = labelling.suggest(columns, args.number, is_labelled, args.seed)
  texts = parquet.read_texts(args.dataset, tuple(_COLUMNS.values()))
  found = {name: texts[of] for name, of in _COLUMNS.items() if of in texts}
  totals = ("packets", "bytes", "seconds", "stands_for_flows")
  lines = [["label", "capture", *found, "flow", *totals]]
  for one in suggested:
    flow = one.flow
    lines.append(
      [
        "",
        flows.partition_names[flows.partitions[flow]],
        *(values[flow] or "" for values in found.values()),
        flows.ids[flow],
        flows.num_packets[flow],
        flows.num_bytes[flow],
        f"{flows.durations[flow]:.6f}",
        f"{one.coverage:.1f}",
      ]
    )
  files.write_text(out, csv_text(lines))
  print(
    f"Wrote {len(suggested)} flows to label to {out}; "
    f"{np.sum(is_labelled):,} of {len(flows):,} already have a label"
  )
