"""Accuracy with other bandwidth and duration dividers (Table IV).

Trains with each row of `config.divider_rows`, a pair of bandwidth (bytes/s) and
duration (s) dividers. An empty list stands for the midpoints between the labelled
flows' class averages. Rows with equally many dividers share a program. Writes the same
files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("divider_sweep", __doc__)
