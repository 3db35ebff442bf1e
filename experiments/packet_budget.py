"""Measures accuracy against k, the number of packets read (Figures 5 and 7).

The paper does not give the number of labels; here `config.labels_per_class` sets it.
Each k in `config.packet_budgets` is compiled separately. Writes the same files as
`label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("packet_budget", __doc__)
