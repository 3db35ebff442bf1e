"""Compares labels of random flows with labels of chosen flows, at equal totals.

With `random`, every class gets equally many labels; in practice this is impossible,
because the classes are not known before labelling. With `uniform`, any flows are
labelled. With `chosen`, typical flows that differ from each other are labelled, as
`mtl-traffic suggest-labels` does. Writes the same files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("labelling", __doc__)
