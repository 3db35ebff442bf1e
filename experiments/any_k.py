"""One model for any number of packets beside one model for each.

`multitask_any_k` is trained once a seed on prefixes of random length, from
`config.shortest_prefix` to the largest of `config.packet_budgets`, and asked at every
one of them. `multitask` is trained for each. Writes what `label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("any_k", __doc__)
