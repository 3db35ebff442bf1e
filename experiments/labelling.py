"""Compares labels of random flows with labels of chosen flows, at equal totals.

With `random`, the same number of flows of each class is labelled. This is impossible in
practice, because the classes are not known before labelling. With `uniform`, random
flows of all classes together are labelled. With `chosen`, typical flows that differ
from each other are labelled, as `mtl-traffic suggest-labels` chooses them. Writes the
same files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("labelling", __doc__)
