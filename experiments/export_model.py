"""Writes a trained model as one file that runs with JAX alone.

    python -m experiments.export_model --model=DIR --output=model.zip

What is in it and how to run it stands in `mtl_traffic.inference.Predictor.export`.
"""

from collections.abc import Sequence

from absl import flags

from experiments import cli
from mtl_traffic import inference

_MODEL = flags.DEFINE_string(
  "model", None, "What experiments.train wrote.", required=True
)
_OUTPUT = flags.DEFINE_string("output", "model.zip", "The file to write.")


def main(argv: Sequence[str]) -> None:
  del argv
  inference.load(_MODEL.value).export(_OUTPUT.value)
  print(f"wrote {_OUTPUT.value}")


if __name__ == "__main__":
  cli.run(main, reads_dataset=False)
