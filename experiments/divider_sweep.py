"""Accuracy with other bandwidth and duration dividers (Table IV).

Goes through `config.divider_rows`, pairs of bandwidth (bytes/s) and duration (s)
dividers; an empty list is the midpoints between the labelled flows' class averages.
Rows with equally many dividers are one program. Writes what `label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("divider_sweep", __doc__)
