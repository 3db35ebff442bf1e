"""Accuracy against labels per class, averaged over seeds (Tables III and V).

Writes `config.json`, `results.jsonl`, `table.md`, `table.csv` and `label_budget.png` to
the work directory. Called again with the same directory it continues where it stopped,
and more seeds, budgets or methods are added to what is there.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("label_budget", __doc__)
