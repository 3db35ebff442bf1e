"""Accuracy against the number of packets that the network reads (Figures 5 and 7).

The paper does not give the number of labels; here `config.labels_per_class` sets it.
Each k in `config.packet_budgets` is a program of its own. Writes the same files as
`label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("packet_budget", __doc__)
