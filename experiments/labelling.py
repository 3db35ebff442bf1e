"""Compares labels of random flows with labels of chosen flows, at equal totals.

- `random`: the same number of random flows of each class. This is impossible in
  practice, because the classes are not known before labelling.
- `uniform`: random flows of all classes together.
- `chosen`: typical flows that differ from each other, as `mtl-traffic suggest-labels`
  chooses them.

Writes the same files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("labelling", __doc__)
