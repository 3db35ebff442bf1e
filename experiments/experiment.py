"""What makes an experiment: its runs, its table and its figure."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

import ml_collections
from absl import flags

from experiments import cli
from experiments.runs import Run
from experiments.sweep import PAPER, Sweep
from mtl_traffic import reporting
from mtl_traffic.flows import Flows

INTRODUCTION = "Accuracy in %, mean over seeds ± half of its 95 % t-interval."


@dataclasses.dataclass(frozen=True)
class Experiment:
  """One question, answered by the runs of a sweep.

  Attributes:
    name: of its binary, its work directory and its figure.
    title: the question, and where the paper asks it.
    runs: of a configuration, what is to be run.
    table: of rows and what the paper reports, settings of these names.
    figure: of the same and a path, draws it there; None if there is none.
    swept: the settings in which the runs differ.
    more_rows: of the sweep, rows that are not of `runs`, kept in its work directory.
  """

  name: str
  title: str
  runs: Callable[[ml_collections.ConfigDict], list[Run]]
  table: Callable[[list[dict], Mapping], reporting.Table]
  figure: Callable[[list[dict], Mapping, pathlib.Path], None] | None = None
  swept: tuple[str, ...] = ()
  more_rows: Callable[[Sweep], list[dict]] = lambda sweep: []

  def conduct(
    self,
    config: ml_collections.ConfigDict,
    dataset: str,
    flows: Flows,
    path: str | pathlib.Path,
    runs: Sequence[Run] | None = None,
  ) -> None:
    """Runs what has no rows yet in the work directory, then writes table and figure.

    Args:
      config: the settings.
      dataset: its name.
      flows: all partitions.
      path: the work directory.
      runs: what is to be run, if not what the configuration asks for.

    Raises:
      InputError: naming the setting at fault and what to do.
    """
    runs = self.runs(config) if runs is None else runs
    sweep = Sweep(config, dataset, flows, path, runs, self.swept, self.name)
    rows = sweep.finish() + self.more_rows(sweep)
    paper = {name: config[name] for name in PAPER}
    table = self.table(rows, paper)
    text = f"{INTRODUCTION}\n\n{table.markdown()}"
    sweep.workdir.write_text("table.md", text)
    sweep.workdir.write_text("table.csv", table.csv())
    if self.figure:
      self.figure(rows, paper, sweep.workdir.path / f"{self.name}.png")
    sweep.workdir.close()
    print(f"{text}\nResults are in {sweep.workdir.path}/")

  def main(self) -> None:
    """The binary: flags, flows, `conduct`."""
    config_of = cli.config_flag("simulated.py")
    workdir = flags.DEFINE_string("workdir", None, "Where results go.", required=True)

    def main(argv: Sequence[str]) -> None:
      del argv
      config = config_of.value
      runs = self.runs(config)
      most_packets = max(config.max_packets, *(run.k for run in runs))
      dataset, flows = cli.load_flows(config.dataset, most_packets)
      self.conduct(config, dataset, flows, workdir.value, runs)

    cli.run(main)
