"""What the binaries of the experiments share."""

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.comparison.catalogue import EXPERIMENTS


def run(name: str, about: str) -> None:
  """Runs the binary of an experiment.

  Args:
    name: in `EXPERIMENTS`.
    about: what it does, for --help.
  """
  experiment = EXPERIMENTS[name]

  def define_flags() -> None:
    cli.define_config("simulated")
    cli.define_dataset()
    cli.define_required("workdir", "where results go")

  def main() -> None:
    # With JAX, which --help does without.
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
