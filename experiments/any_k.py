"""One model for any number of packets beside one model for each.

One `multitask` is trained a seed on prefixes of random length, from
`config.shortest_prefix` to the largest of `config.packet_budgets`, and asked at every
one of them; another is trained for each. `config.methods` is ignored. Writes what
`label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("any_k", __doc__)
