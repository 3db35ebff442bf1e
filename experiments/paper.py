"""Runs the paper's whole evaluation on one dataset, then writes the report.

Tables III and V are run with every method over `config.num_seeds` seeds. The other
experiments have many settings, so they are run with `multitask` over five seeds. Each
experiment has its own folder in the work directory. Called again with the same
directory, it continues where it stopped.

    python -m experiments.paper --config=ucdavis --workdir=runs/paper
"""

from experiments import binary
from mtl_traffic.comparison import plans

if __name__ == "__main__":
  binary.run_plan("paper", __doc__, plans.of_paper)
