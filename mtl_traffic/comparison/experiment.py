"""What makes an experiment: its runs, its table and its figure."""

import dataclasses
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from mtl_traffic.runs import Run
from mtl_traffic.settings import Settings
from mtl_traffic.tables import Table

INTRODUCTION = (
  "Accuracy in %, mean over seeds ± half of its 95 % t-interval. *Over flows* is the "
  "95 % interval of the class accuracy that follows from the number of test flows of "
  "one seed. *Balanced* is the mean recall of the classes, *macro F1* the mean of "
  "their F1: both count a class of few flows as much as one of many."
)


@dataclasses.dataclass(frozen=True)
class Experiment:
  """One question, answered by the runs of a comparison.

  Attributes:
    name: of its binary, its work directory and its figure.
    title: the question, and where the paper asks it.
    runs: of the settings, what is to be run.
    table: of rows and what the paper reports, settings of these names.
    figure: of the same.
    swept: the settings in which the runs differ.
    introduction: a line above the table.
  """

  name: str
  title: str
  runs: Callable[[Settings], list[Run]]
  table: Callable[[list[dict], Mapping], Table]
  figure: Callable[[list[dict], Mapping], Figure]
  swept: tuple[str, ...] = ()
  introduction: str = INTRODUCTION
