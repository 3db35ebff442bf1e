"""Runs every method and every experiment on one dataset, and ends with the report.

Runs every method at 1, 5, 10, 20, 50, 100 and all labels per class, chosen labels
against random ones, our method without each of its parts, and all sweeps, each over
`config.num_seeds` seeds. Methods that train in seconds come first. Each experiment has
its own folder in the work directory. Called again with the same directory, it continues
where it stopped.

    python -m experiments.evidence --config=video_sessions \\
        --config.num_seeds=20 --workdir=runs/evidence/video_sessions
"""

from experiments import binary
from mtl_traffic.comparison import plans

if __name__ == "__main__":
  binary.run_plan("evidence", __doc__, plans.of_evidence)
