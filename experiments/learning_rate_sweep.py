"""Accuracy against the learning rate of Adam.

All of `config.learning_rates` are one program, as the rate is traced. Tunes baselines
with the care that our own methods get: choose by `validation_class_accuracy` of the
rows, on seeds that are not reported. Writes what `label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("learning_rate_sweep", __doc__)
