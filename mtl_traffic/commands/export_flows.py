"""Writes the flows of any dataset as a Parquet file in the curated layout.

mtl-traffic export-flows --dataset=ucdavis_icdm19 --out=flows.parquet
"""

import pathlib

from absl import flags

from mtl_traffic import data, files
from mtl_traffic.commands import cli
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError

USES_JAX = False
_DATASET = "ucdavis_icdm19"


def define_flags() -> None:
  cli.define_dataset()
  cli.define_required("out", "the .parquet file to write")
  flags.DEFINE_integer(
    "max_packets", None, "Packets of each flow to write; all by default.", lower_bound=1
  )


def main() -> None:
  path = pathlib.Path(flags.FLAGS.out)
  if path.suffix != ".parquet":
    raise InputError(f"--out: {path} must end in .parquet")
  with cli.naming("--out"):
    files.check_new(path)
  _, flows = cli.load_flows(_DATASET, flags.FLAGS.max_packets)
  rules = data.rules_of(flags.FLAGS.dataset or _DATASET)
  parquet.write(flows, path, rules)
  print(f"Wrote {len(flows):,} flows to {path}")
