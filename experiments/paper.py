"""Runs the paper's whole evaluation on one dataset, then writes the report.

Tables III and V are run with every method over `config.num_seeds` seeds. The other
experiments have many settings, so they are run with `multitask` over five seeds. Each
experiment has its own folder in the work directory. Called again, it continues where it
stopped.

    python -m experiments.paper --config=ucdavis \\
        --workdir=runs/paper
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from mtl_traffic.commands import cli
from mtl_traffic.comparison import report
from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.comparison.experiment import Experiment
from mtl_traffic.runs import Run
from mtl_traffic.settings import ALL, Settings

_BEYOND_THE_PAPER = ("any_k", "ablation", "labelling", "learning_rate_sweep")
_SWEEP_SEEDS = 5
# Labels per class in the sweeps: the paper's, or where the paper has none, the number
# that shows the largest effect.
_LABELS = {"auxiliary_tasks": (10,)}
_OTHER_LABELS = (20,)
# The paper has single-task learning with all labels.
_WITH_ALL_LABELS = ("multitask", "single_task", "whole_flow_distillation")


def plan(
  settings: Settings, methods: Sequence[str]
) -> list[tuple[Experiment, Settings, list[Run]]]:
  """Returns each experiment with its settings and its runs.

  Args:
    settings: see `Settings`.
    methods: the methods of the tables.
  """
  planned = []
  for name, experiment in EXPERIMENTS.items():
    if name in _BEYOND_THE_PAPER:
      continue
    if name == "label_budget":
      mine = settings.replace(methods=tuple(methods))
      asked_for = experiment.runs(mine)
      with_all = tuple(method for method in methods if method in _WITH_ALL_LABELS)
      if with_all:
        all_labels = settings.replace(methods=with_all, labels_per_class=(ALL,))
        asked_for += experiment.runs(all_labels)
    else:
      mine = settings.replace(
        methods=("multitask",),
        labels_per_class=_LABELS.get(name, _OTHER_LABELS),
        num_seeds=min(settings.num_seeds, _SWEEP_SEEDS),
      )
      asked_for = experiment.runs(mine)
    planned.append((experiment, mine, asked_for))
  return planned


def define_flags() -> None:
  cli.define_config("simulated")
  cli.define_dataset()
  cli.define_required("workdir", "where results go")
  flags.DEFINE_list("methods", None, "Methods of the tables; by default all.")


def main() -> None:
  # Imported here: it needs JAX, and --help does not.
  from mtl_traffic import defaults
  from mtl_traffic.comparison import flow_statistics
  from mtl_traffic.comparison.conduct import conduct
  from mtl_traffic.inputs import Inputs
  from mtl_traffic.methods import METHODS

  settings, workdir = cli.chosen_settings(), pathlib.Path(flags.FLAGS.workdir)
  methods = flags.FLAGS.methods or tuple(METHODS)
  most_packets = max(run.k for *_, asked in plan(settings, methods) for run in asked)
  most_packets = max(settings.max_packets, most_packets)
  dataset, flows = cli.load_flows(settings.dataset, most_packets, settings.split_by)
  planned = plan(defaults.of_flows(settings, flows), methods)
  for _, mine, asked_for in planned:
    Inputs(mine, flows, asked_for)  # Checks the flows before anything is written.
  print(flow_statistics.write(dataset, flows, workdir / "flow_statistics"))
  for experiment, mine, asked_for in planned:
    print(f"\n{experiment.title}\n")
    folder = workdir / experiment.name
    print(conduct(experiment, mine, dataset, flows, folder, asked_for))
  print(f"The report is in {report.write(workdir)}")


if __name__ == "__main__":
  cli.run(main, define_flags, name="python -m experiments.paper", about=__doc__)
