"""Writes pages of everything that was run: findings, tables, figures, claims.

    mtl-traffic report --workdir=runs/paper

Reads the work directories of experiments in and below --workdir, and writes `report.md`
with its figures, and `report.html`, a page that needs no other file. Where they are of
several datasets, each has a page of its own, `report_NAME`, and `report` compares them.
"""

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.comparison import report

USES_JAX = False


def define_flags() -> None:
  cli.define_required("workdir", "where results are, and the report goes")


def main() -> None:
  print(f"The report is in {report.write(flags.FLAGS.workdir)}")
