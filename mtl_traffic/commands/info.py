"""Describes a trained model and checks that it is undamaged.

    mtl-traffic info DIR

Loads the model as `predict` does, without running code from it, and compares its
digest. If the model is damaged or invalid, it prints one line and ends with status 1.
"""

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.escapes import for_terminal

USES_JAX = True
ARGUMENT = "model"  # The flag whose value may be given without its name.


def define_flags() -> None:
  cli.define_required("model", "the directory that mtl-traffic train wrote")


def main() -> None:
  # Imported here: it takes long, and --help does not need it.
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
