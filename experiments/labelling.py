"""Labels of random flows against labels of chosen ones, at equal totals.

`random` labels are as many of each class, which nobody can draw who does not know the
classes yet; `uniform` ones are of any flows. `chosen` are typical flows, each of
another kind, as `mtl-traffic suggest-labels` does. Writes what `label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("labelling", __doc__)
