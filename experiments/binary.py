"""The command line that the experiments share."""

import datetime
import pathlib
from collections.abc import Callable, Sequence

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.comparison import plans, report
from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.flows import Flows
from mtl_traffic.runs import Run
from mtl_traffic.settings import Settings


def run(name: str, about: str) -> None:
  """Runs the binary of an experiment.

  Args:
    name: the name in `EXPERIMENTS`.
    about: a description for --help.
  """
  experiment = EXPERIMENTS[name]

  def conducted(
    settings: Settings, dataset: str, flows: Flows, runs: list[Run], path: str
  ) -> str:
    # Imported here: it needs JAX, and --help does not.
    from mtl_traffic.comparison.conduct import conduct

    return conduct(experiment, settings, dataset, flows, path, runs)

  run_conducted(name, about, experiment.runs, conducted)


def run_conducted(
  name: str,
  about: str,
  runs_of: Callable[[Settings], list[Run]],
  conducted: Callable[[Settings, str, Flows, list[Run], str], str],
) -> None:
  """Runs a binary that conducts runs on one dataset, and prints their table.

  Args:
    name: of its module.
    about: a description for --help.
    runs_of: gives the runs, of the settings.
    conducted: conducts them, given the settings, the dataset's name, its flows, the
      runs and the work directory; returns the table.
  """

  def define_flags() -> None:
    cli.define_config("simulated")
    cli.define_dataset()
    cli.define_required("workdir", "where results go")

  def main() -> None:
    from mtl_traffic import defaults  # With JAX, which --help does without.

    settings, workdir = cli.chosen_settings(), flags.FLAGS.workdir
    most_packets = max(settings.max_packets, *(run.k for run in runs_of(settings)))
    dataset, flows = cli.load_flows(settings.dataset, most_packets, settings.split_by)
    settings = defaults.of_flows(settings, flows)
    print(conducted(settings, dataset, flows, runs_of(settings), workdir))
    print(f"Results are in {workdir}/")

  cli.run(main, define_flags, name=f"python -m experiments.{name}", about=about)


def run_plan(
  name: str, about: str, plan: Callable[[Settings, Sequence[str]], list[plans.Step]]
) -> None:
  """Runs the binary of a whole evaluation, which ends with the report.

  Args:
    name: the name of its module.
    about: a description for --help.
    plan: maps the settings and the methods in the tables to the steps.
  """

  def define_flags() -> None:
    cli.define_config("simulated")
    cli.define_dataset()
    cli.define_required("workdir", "where results go")
    flags.DEFINE_list("methods", None, "Methods in the tables; all by default.")

  def main() -> None:
    # Imported here: they need JAX, and --help does not.
    from mtl_traffic import defaults
    from mtl_traffic.comparison import flow_statistics
    from mtl_traffic.comparison.conduct import conduct
    from mtl_traffic.inputs import Inputs
    from mtl_traffic.methods import METHODS

    settings, workdir = cli.chosen_settings(), pathlib.Path(flags.FLAGS.workdir)
    methods = flags.FLAGS.methods or tuple(METHODS)
    most_packets = max(run.k for step in plan(settings, methods) for run in step.runs)
    most_packets = max(settings.max_packets, most_packets)
    dataset, flows = cli.load_flows(settings.dataset, most_packets, settings.split_by)
    steps = plan(defaults.of_flows(settings, flows), methods)
    for step in steps:
      Inputs(step.settings, flows, step.runs)  # Raises before anything is written.
    print(flow_statistics.write(dataset, flows, workdir / "flow_statistics"))
    for number, step in enumerate(steps, start=1):
      left = plans.seconds_left(steps[number - 1 :], plans.rows_below(workdir))
      print(
        f"\nStep {number} of {len(steps)}: {step.experiment.title}. This and the "
        f"following steps take about {datetime.timedelta(seconds=round(left))} h.\n",
        flush=True,
      )
      folder = workdir / step.experiment.name
      print(conduct(*step[:2], dataset, flows, folder, step.runs, reuse=True))
    print(f"The report is in {report.write(workdir)}")

  cli.run(main, define_flags, name=f"python -m experiments.{name}", about=about)
