"""Measures accuracy against the learning rate of Adam.

All values in `config.learning_rates` share one program. Use it to tune baselines as
carefully as our own methods: choose the rate by `validation_class_accuracy` in the
rows, on seeds that are not reported. Writes the same files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("learning_rate_sweep", __doc__)
