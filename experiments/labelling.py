"""Labels of random flows against labels of chosen ones, at equal totals.

Chosen are typical flows, each of another kind, as `mtl-traffic suggest-labels` does;
how many of which class they are is not known before. Writes what `label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("labelling", __doc__)
