"""The command line that the experiments share."""

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.comparison.catalogue import EXPERIMENTS


def run(name: str, about: str) -> None:
  """Runs the binary of an experiment.

  Args:
    name: the name in `EXPERIMENTS`.
    about: a description for --help.
  """
  experiment = EXPERIMENTS[name]

  def define_flags() -> None:
    cli.define_config("simulated")
    cli.define_dataset()
    cli.define_required("workdir", "where results go")

  def main() -> None:
    # Imported here: it needs JAX, and --help does not.
    from mtl_traffic import defaults
    from mtl_traffic.comparison.conduct import conduct

    settings = cli.chosen_settings()
    runs = experiment.runs(settings)
    most_packets = max(settings.max_packets, *(run.k for run in runs))
    dataset, flows = cli.load_flows(settings.dataset, most_packets, settings.split_by)
    settings = defaults.of_flows(settings, flows)
    runs = experiment.runs(settings)
    workdir = flags.FLAGS.workdir
    print(conduct(experiment, settings, dataset, flows, workdir, runs))
    print(f"Results are in {workdir}/")

  cli.run(main, define_flags, name=f"python -m experiments.{name}", about=about)
