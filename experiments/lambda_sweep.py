"""Measures accuracy against λ, the weight of the class task (Figures 6 and 8).

All values in `config.lambdas` share one program. The paper uses 20 labels per class:
`--config.labels_per_class='(20,)' --config.methods='("multitask",)'`. Writes the same
files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("lambda_sweep", __doc__)
