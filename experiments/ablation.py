"""What each part of our method contributes.

`whole_flow_distillation`, and the same without one of its parts at a time; differences
are to the whole, on the same draws. `config.methods` is ignored. Writes what
`label_budget` writes, but its figure.

    python -m experiments.ablation --config=ucdavis \\
        --workdir=runs/ablation --config.num_seeds=5
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("ablation", __doc__)
