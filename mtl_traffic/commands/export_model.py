"""Writes a trained model as one file that runs with JAX alone.

    mtl-traffic export-model --model=DIR --out=model.zip

The documentation of `mtl_traffic.serving.predictor` says what the file contains and how
to run it. Needs `pip install 'mtl_traffic[export]'`.
"""

import pathlib

from absl import flags

from mtl_traffic import files
from mtl_traffic.commands import cli

USES_JAX = True


def define_flags() -> None:
  cli.define_required("model", "the directory that mtl-traffic train wrote")
  flags.DEFINE_string("out", "model.zip", "The file to write.")


def main() -> None:
  # Imported here: it needs JAX, and --help does not.
  from mtl_traffic.serving.predictor import load_model

  out = pathlib.Path(flags.FLAGS.out)
  with cli.naming("--out"):
    files.check_new(out)
  load_model(flags.FLAGS.model).export(out)
  print(f"wrote {out}")
