"""Measures accuracy against labels per class over many seeds (Tables III and V).

Writes `config.json`, `results.jsonl`, `table.md`, `table.csv` and `label_budget.png` to
the work directory. Called again with the same directory, it continues where it stopped.
Further seeds, budgets or methods are added to the existing results.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("label_budget", __doc__)
