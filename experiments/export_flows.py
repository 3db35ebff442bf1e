"""Writes the flows of any dataset as a Parquet file in the curated layout."""

import pathlib
from collections.abc import Sequence

from absl import flags

from experiments import cli
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError

_OUTPUT = flags.DEFINE_string("output", None, "The file to write.", required=True)
_MAX_PACKETS = flags.DEFINE_integer(
  "max_packets", None, "Packets of each flow to write; all by default.", lower_bound=1
)


def main(argv: Sequence[str]) -> None:
  del argv
  path = pathlib.Path(_OUTPUT.value)
  if path.suffix != ".parquet":
    raise InputError(f"--output: {path} must end in .parquet")
  if path.exists():
    raise InputError(f"--output: {path} is there already; remove it or give another")
  _, flows = cli.load_flows("ucdavis_icdm19", _MAX_PACKETS.value)
  try:
    parquet.write(flows, path)
  except OSError as error:
    raise InputError(f"--output: {path}: {error.strerror or error}") from error
  print(f"Wrote {len(flows):,} flows to {path}")


if __name__ == "__main__":
  cli.run(main)
