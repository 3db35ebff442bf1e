"""Writes a report of experiments: findings, tables, figures, verdicts on claims.

    mtl-traffic report --workdir=runs/paper

Reads the work directories of experiments in and below --workdir. Writes `report.md`
with its figures, and `report.html`, a single file. If there are several datasets, each
has a page `report_NAME`, and `report` compares them.
"""

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.comparison import report

USES_JAX = False


def define_flags() -> None:
  cli.define_required("workdir", "the folder with the results, also for the report")


def main() -> None:
  print(f"The report is in {report.write(flags.FLAGS.workdir)}")
