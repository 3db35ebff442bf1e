"""Measures the accuracy of our method without each of its parts.

Trains `whole_flow_distillation`, and variants that each lack one part. Each variant is
compared with the full method on the same draws. `config.methods` is ignored. Writes the
same files as `label_budget`; the figure is named after the experiment.

    python -m experiments.ablation --config=ucdavis \\
        --workdir=runs/ablation --config.num_seeds=5
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("ablation", __doc__)
