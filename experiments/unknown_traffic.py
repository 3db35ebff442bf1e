"""Measures how well traffic of a class that training never saw is detected.

Each class is left out of training in turn. Writes `config.json`, `results.jsonl`,
`table.md` and `table.csv` to the work directory. The tables give, for each possible
score, the AUROC and the share of known flows kept at the threshold that catches 95 % of
the unknown flows. Called again with the same directory, it continues where it stopped.

    python -m experiments.unknown_traffic --config=ucdavis \\
        --workdir=runs/unknown --config.labels_per_class=all,
"""

from absl import flags

from mtl_traffic.commands import cli


def define_flags() -> None:
  cli.define_config("simulated")
  cli.define_dataset()
  cli.define_required("workdir", "where results go")


def main() -> None:
  # Imported here: it needs JAX, and --help does not.
  from mtl_traffic import defaults
  from mtl_traffic.runs import label_budgets
  from mtl_traffic.serving import unknown_traffic

  settings = cli.chosen_settings()
  most_packets = max(settings.max_packets, settings.k)
  dataset, flows = cli.load_flows(settings.dataset, most_packets, settings.split_by)
  settings = defaults.of_flows(settings, flows)
  runs = label_budgets(settings)
  text = unknown_traffic.conduct(settings, dataset, flows, runs, flags.FLAGS.workdir)
  print(text)
  print(f"Results are in {flags.FLAGS.workdir}/")


if __name__ == "__main__":
  cli.run(
    main,
    define_flags,
    name="python -m experiments.unknown_traffic",
    about=__doc__,
  )
