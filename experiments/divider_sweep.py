"""Measures accuracy with different bandwidth and duration dividers (Table IV).

Trains with each row of `config.divider_rows`: a list of bandwidth dividers (bytes/s)
and a list of duration dividers (s). An empty list stands for the midpoints between the
class averages of the labelled flows. Rows with the same numbers of dividers share a
program. Writes the same files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("divider_sweep", __doc__)
