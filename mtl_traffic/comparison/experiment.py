"""The parts of an experiment: its runs, its table and its figure."""

import dataclasses
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from mtl_traffic.runs import Run
from mtl_traffic.settings import Settings
from mtl_traffic.tables import Table

INTRODUCTION = (
  "Accuracy in %, mean over seeds ± half of its 95 % t-interval. *Over flows* is the "
  "95 % confidence interval of the class accuracy for the number of test flows of one "
  "seed. *Balanced* is the mean recall of the classes, *macro F1* the mean of their "
  "F1. Both give each class the same weight, however few flows it has."
)


@dataclasses.dataclass(frozen=True)
class Experiment:
  """One question, answered by the runs of a comparison.

  Attributes:
    name: the name of its program, work directory and figure.
    title: its heading, with the place in the paper.
    runs: maps settings to the runs.
    table: maps rows and the paper's values (the settings named in `PAPER`) to a table.
    figure: maps the same to a figure.
    swept: the names of the settings in which the runs differ.
    introduction: the paragraph above the table.
    by_papers_rules: whether flows are split and labelled as in the paper, so that its
      runs count when the paper's claims are judged.
  """

  name: str
  title: str
  runs: Callable[[Settings], list[Run]]
  table: Callable[[list[dict], Mapping], Table]
  figure: Callable[[list[dict], Mapping], Figure]
  swept: tuple[str, ...] = ()
  introduction: str = INTRODUCTION
  by_papers_rules: bool = True
