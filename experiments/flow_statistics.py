"""Describes a dataset: packets, duration and bandwidth of its flows by class.

Writes `table.md`, `statistics.json`, `classes.csv`, `histograms.csv`, `bandwidth.png`
and `duration.png` to the work directory.

    python -m experiments.flow_statistics --dataset=ucdavis_icdm19 --workdir=DIR
"""

from absl import flags

from mtl_traffic.commands import cli


def define_flags() -> None:
  cli.define_dataset()
  cli.define_required("workdir", "where results go")
  flags.DEFINE_list(
    "partitions",
    None,
    "Partitions to describe; all by default. The paper uses pretraining and "
    "retraining-script-triggered.",
  )


def main() -> None:
  # Imported here: it needs JAX, and --help does not.
  from mtl_traffic.comparison import flow_statistics

  args = flags.FLAGS
  # Only the totals of flows are needed, not their packets.
  dataset, flows = cli.load_flows("ucdavis_icdm19", max_packets=1)
  selected = flow_statistics.select(flows, args.partitions)
  print(flow_statistics.write(dataset, selected, args.workdir))
  print(f"Results are in {args.workdir}/")


if __name__ == "__main__":
  cli.run(
    main,
    define_flags,
    name="python -m experiments.flow_statistics",
    about=__doc__,
  )
