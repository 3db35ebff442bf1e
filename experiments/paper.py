"""Runs the paper's whole evaluation on one dataset, and ends with the report.

Tables III and V with every method over `config.num_seeds` seeds; the other experiments
with `multitask` over five of them, as they have many settings. Each experiment has a
directory of its own in the work directory. Called again it continues where it stopped.

    python -m experiments.paper --config=experiments/configs/ucdavis.py \
        --workdir=runs/paper
"""

import copy
import pathlib
from collections.abc import Sequence

import ml_collections
from absl import flags

from experiments import cli, flow_statistics, report, runs
from experiments.experiment import Experiment
from mtl_traffic.methods import METHODS

_BEYOND_THE_PAPER = ("any_k", "ablation")
_SWEEP_SEEDS = 5
# Of the sweeps, the number of labels that the paper gives, or what shows most.
_LABELS = {"auxiliary_tasks": (10,)}
_OTHER_LABELS = (20,)
# The paper has single-task learning with all labels.
_WITH_ALL_LABELS = ("multitask", "single_task", "forest_propagation")


def plan(
  config: ml_collections.ConfigDict, methods: Sequence[str] = tuple(METHODS)
) -> list[tuple[Experiment, ml_collections.ConfigDict, list[runs.Run]]]:
  """Each experiment with its configuration and its runs.

  Args:
    config: the settings.
    methods: those of the tables.
  """
  planned = []
  for name, experiment in report.EXPERIMENTS.items():
    if name in _BEYOND_THE_PAPER:
      continue
    mine = copy.deepcopy(config)
    if name == "label_budget":
      mine.methods = tuple(methods)
      with_all = copy.deepcopy(mine)
      with_all.update(
        methods=tuple(method for method in methods if method in _WITH_ALL_LABELS),
        labels_per_class=(runs.ALL,),
      )
      asked_for = experiment.runs(mine)
      if with_all.methods:
        asked_for += experiment.runs(with_all)
    else:
      mine.update(
        methods=("multitask",),
        labels_per_class=_LABELS.get(name, _OTHER_LABELS),
        num_seeds=min(config.num_seeds, _SWEEP_SEEDS),
      )
      asked_for = experiment.runs(mine)
    planned.append((experiment, mine, asked_for))
  return planned


def main(argv: Sequence[str]) -> None:
  del argv
  config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value)
  planned = plan(config, _METHODS.value)
  most_packets = max(run.k for _, _, asked_for in planned for run in asked_for)
  dataset, flows = cli.load_flows(config.dataset, max(config.max_packets, most_packets))
  flow_statistics.write(dataset, flows, workdir / "flow_statistics")
  for experiment, mine, asked_for in planned:
    print(f"\n{experiment.title}\n")
    experiment.conduct(mine, dataset, flows, workdir / experiment.name, asked_for)
  print(f"The report is in {report.write(workdir)}")


if __name__ == "__main__":
  _CONFIG = cli.config_flag("simulated.py")
  _WORKDIR = flags.DEFINE_string("workdir", None, "Where results go.", required=True)
  _METHODS = flags.DEFINE_list("methods", list(METHODS), "Those of the tables.")
  cli.run(main)
