"""Accuracy against the number of packets that the network reads (Figures 5 and 7).

The paper does not say with how many labels; `config.labels_per_class` does. One program
for each k in `config.packet_budgets`. Writes what `label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("packet_budget", __doc__)
