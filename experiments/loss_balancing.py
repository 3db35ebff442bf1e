"""Compares ways to balance the losses of the tasks of `multitask`.

Their sum, as in the paper; weights that are learnt as the uncertainty of each task;
PCGrad; and random weights. Writes the same files as `label_budget`.

    python -m experiments.loss_balancing --config=video_sessions \\
        --config.labels_per_class=20 --workdir=runs/balancing
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("loss_balancing", __doc__)
