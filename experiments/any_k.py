"""Compares one model for any number of packets with one model per number.

For each seed, one `multitask` is trained on prefixes of random length, from
`config.shortest_prefix` to the largest of `config.packet_budgets`, and tested at each
of these budgets. For comparison, one `multitask` is trained per budget.
`config.methods` is ignored. Writes the same files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("any_k", __doc__)
