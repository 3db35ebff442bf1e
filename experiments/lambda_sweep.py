"""Accuracy against λ, the weight of the class task (Figures 6 and 8).

All of `config.lambdas` are one program. The paper has 20 labels per class:
`--config.labels_per_class='(20,)' --config.methods='("multitask",)'`. Writes what
`label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("lambda_sweep", __doc__)
