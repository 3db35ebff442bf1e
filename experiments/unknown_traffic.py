"""Measures how well traffic of a class that training never saw is detected.

Each class is left out of training in turn. Writes `config.json`, `results.jsonl`,
`table.md` and `table.csv` to the work directory. The tables give, for each possible
score, the AUROC and the share of known flows kept at the threshold that catches 95 % of
the unknown flows. Called again with the same directory, it continues where it stopped.

    python -m experiments.unknown_traffic --config=ucdavis \\
        --workdir=runs/unknown --config.labels_per_class=all,
"""

from experiments import binary
from mtl_traffic.flows import Flows
from mtl_traffic.runs import Run, label_budgets
from mtl_traffic.settings import Settings


def conducted(
  settings: Settings, dataset: str, flows: Flows, runs: list[Run], path: str
) -> str:
  """The table of all runs, of which those without a row are run."""
  # Imported here: it needs JAX, and --help does not.
  from mtl_traffic.serving import unknown_traffic

  return unknown_traffic.conduct(settings, dataset, flows, runs, path)


if __name__ == "__main__":
  binary.run_conducted("unknown_traffic", __doc__, label_budgets, conducted)
