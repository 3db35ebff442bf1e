"""Measures the effect of the differences between the paper and its authors' code.

Each difference is tested alone, then all of them together: the mask is on the class
head's features instead of on the loss, lengths have no direction, and dividers are
fixed. Writes the same files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("authors_variants", __doc__)
