"""Writes a trained model as one file that runs with JAX alone.

    mtl-traffic export-model --model=DIR --output=model.zip

What is in it and how to run it stands in `mtl_traffic.serving.predictor`. Needs
`pip install 'mtl_traffic[export]'`.
"""

import pathlib

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.errors import InputError

USES_JAX = True


def define_flags() -> None:
  cli.define_required("model", "the directory that mtl-traffic train wrote")
  flags.DEFINE_string("output", "model.zip", "The file to write.")


def main() -> None:
  # With JAX, which --help need not wait for.
  from mtl_traffic.serving.predictor import load_model

  output = pathlib.Path(flags.FLAGS.output)
  if output.exists():
    raise InputError(f"--output: {output} is there already; remove it or give another")
  load_model(flags.FLAGS.model).export(output)
  print(f"wrote {output}")
