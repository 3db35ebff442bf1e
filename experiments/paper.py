"""Runs the paper's whole evaluation on one dataset, and ends with the report.

Tables III and V with every method over `config.num_seeds` seeds; the other experiments
with `multitask` over five of them, as they have many settings. Each experiment has a
directory of its own in the work directory. Called again it continues where it stopped.

    python -m experiments.paper --config=ucdavis \\
        --workdir=runs/paper
"""

from experiments import binary
from mtl_traffic.comparison import plans

if __name__ == "__main__":
  binary.run_plan("paper", __doc__, plans.of_paper)
