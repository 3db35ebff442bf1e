"""What the authors' code does otherwise than the paper says, and what it changes.

Each variant alone, then all of them: the mask on the class head's features instead of
on the loss, lengths without direction, and fixed dividers. Writes what `label_budget`
writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("authors_variants", __doc__)
