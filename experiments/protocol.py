"""Runs methods under the rules of another paper, and shows its figures beside ours.

The config has the rules and what was published: `tcbench` or `cesnet_tc_transfer`. The
table has accuracy and weighted F1. Writes the same files as `label_budget`.

    python -m experiments.protocol --config=tcbench --workdir=runs/tcbench
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("protocol", __doc__)
