"""Says what a trained model is, and whether it is whole.

    mtl-traffic info DIR

Loads the model as `predict` does, which runs no code of it, and compares its digest. A
model that is damaged, or cannot be one, is an error of one line.
"""

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.escapes import for_terminal

USES_JAX = True
ARGUMENT = "model"  # What stands without its flag.


def define_flags() -> None:
  cli.define_required("model", "the directory that mtl-traffic train wrote")


def main() -> None:
  # With JAX, which --help need not wait for.
  import jax

  from mtl_traffic.serving import card, checkpoints

  path = flags.FLAGS.model
  description, parameters = checkpoints.load(path)
  content = checkpoints.read_description(path)
  leaves = jax.tree.leaves(parameters)
  num_bytes = sum(leaf.nbytes for leaf in leaves)
  versions = dict(content.get("versions", {}))
  lines = [
    ("model", path),
    *card.facts(description),
    ("members", len(leaves[0])),
    ("parameters", f"{num_bytes / 1e6:.3g} MB in memory"),
    ("made with", ", ".join(f"{name} {of}" for name, of in versions.items())),
    ("format", content["format"]),
    ("digest", f"OK, {content['digest']}"),
  ]
  width = max(len(name) for name, _ in lines)
  for name, value in lines:
    print(f"{for_terminal(name):{width}}  {for_terminal(value)}")
