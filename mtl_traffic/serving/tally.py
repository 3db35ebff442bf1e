"""Counts of the answers so far, and a summary of them."""

import collections
import copy
import dataclasses
from collections.abc import Sequence

import numpy as np

from mtl_traffic import tables
from mtl_traffic.data import captures
from mtl_traffic.serving.answer_columns import of_task
from mtl_traffic.serving.answer_files import Rows
from mtl_traffic.serving.judgement import REASON_NAMES, UNKNOWN_NAME
from mtl_traffic.serving.predictor import Predictor
from mtl_traffic.serving.truth import MEASURED_TASKS

_MINUTE = 60 * 10**9  # ns
# Upper bounds of the bins of delays, s.
DELAYS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclasses.dataclass
class Tally:
  """Counts of the answers so far. Each flow counts with its last answer.

  Attributes:
    answers: flows by (task, class, reason why it is unknown or None).
    probabilities: the sum of the probabilities of these answers, by the same keys.
    by_minute: flows by (minute since 1970, class), for the first task.
    by_tasks: flows by (bandwidth class, duration class).
    evaluated: flows by (task, whether the flow ended within the capture, whether the
      answer was right, or None if it was unknown).
    labelled: flows with a label, by whether the class was right; None = unknown.
    labels: which labels applied to flows.
    num_answers: number of answers written.
    num_open: number of open flows.
    delays: `[len(DELAYS) + 1]` answers by the delay from their packet until they were
      written: up to each bound, and above the last. Counted on interfaces only.
    sum_of_delays: the sum of these delays, s.
  """

  answers: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  probabilities: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  by_minute: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  by_tasks: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  evaluated: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  labelled: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  labels: captures.Accounts = dataclasses.field(default_factory=captures.Accounts)
  num_answers: int = 0
  num_open: int = 0
  delays: np.ndarray = dataclasses.field(
    default_factory=lambda: np.zeros(len(DELAYS) + 1, np.int64)
  )
  sum_of_delays: float = 0.0

  def count_delays(self, delays: np.ndarray) -> None:
    """Counts N answers by their delays, `[N]` in s."""
    places = np.searchsorted(DELAYS, delays)
    self.delays = self.delays + np.bincount(places, minlength=len(DELAYS) + 1)
    self.sum_of_delays += float(delays.sum())

  def count(self, rows: Rows, tasks: Sequence[str]) -> None:
    """Counts flows by their last answers.

    Args:
      rows: the columns of these answers, with "time", and "true_class" if known.
      tasks: the tasks that the model answers.
    """
    for task in tasks:
      name, probability, _, unknown = (rows[column] for column in of_task(task))
      for answer in zip(name, unknown, probability, strict=True):
        self.answers[task, *answer[:2]] += 1
        self.probabilities[task, *answer[:2]] += answer[2]
    if "true_class" in rows and "class" in tasks:
      name, *_, unknown = (rows[column] for column in of_task("class"))
      self.labelled.update(
        None if why else answer == true
        for answer, why, true in zip(name, unknown, rows["true_class"], strict=True)
        if true is not None
      )
    first = "class" if "class" in tasks else tasks[0]
    minutes = (np.asarray(rows["time"], np.int64) // _MINUTE).tolist()
    self.by_minute.update(zip(minutes, rows[first], strict=True))
    if all(task in tasks for task in MEASURED_TASKS):
      pairs = zip(*(rows[task] for task in MEASURED_TASKS), strict=True)
      self.by_tasks.update(pairs)

  def taken(self) -> "Tally":
    """Returns the counts and resets them here, except for the open flows."""
    taken = copy.copy(self)
    self.__init__(num_open=taken.num_open)
    return taken

  def add(self, other: "Tally") -> None:
    """Adds the counts of another process, except for the open flows."""
    for field in dataclasses.fields(self):
      mine, others = getattr(self, field.name), getattr(other, field.name)
      if isinstance(mine, collections.Counter):
        mine.update(others)
      elif field.name == "labels":
        mine.add(others)
      elif field.name != "num_open":
        setattr(self, field.name, mine + others)

  def evaluate(self, rows: Rows, task: str, came_to_end: Sequence[bool]) -> None:
    """Counts whether the last answers for flows that ended were right, for one task."""
    name, *_, unknown = (rows[column] for column in of_task(task))
    truth = rows[f"true_{task}"]
    for ended, answer, why, true in zip(came_to_end, name, unknown, truth, strict=True):
      if true is not None and answer is not None:
        self.evaluated[task, ended, None if why else answer == true] += 1


def summary(tally: Tally, predictor: Predictor) -> str:
  """A table of the answers, and lines on how many were right if that is known."""
  lines = []
  for task in predictor.tasks:
    known = [(name, None) for name in predictor.names[task]]
    unknown = [(UNKNOWN_NAME, why) for why in REASON_NAMES.values()]
    total = sum(tally.answers[task, name, why] for name, why in known + unknown)
    for name, why in known + unknown:
      count = tally.answers[task, name, why]
      if count:
        shown = f"{name}: {why}" if why else name
        mean = tally.probabilities[task, name, why] / count
        lines.append([task, shown, count, f"{100 * count / total:.1f}", f"{mean:.3f}"])
  header = ["task", "answer", "flows", "%", "mean probability"]
  text = tables.markdown_table(header, lines)
  right, wrong, unknown = (tally.labelled[value] for value in (True, False, None))
  if labelled := right + wrong + unknown:
    text += (
      f"class: accuracy {100 * right / labelled:.1f} % on {labelled} labelled flows"
    )
    if right + wrong:
      share = 100 * right / (right + wrong)
      text += f", {share:.1f} % on the {right + wrong} that were answered"
    text += "\n"
  for task in MEASURED_TASKS:
    for ended, what in ((True, "that ended"), (False, "that were cut off")):
      right, wrong, unknown = (
        tally.evaluated[task, ended, value] for value in (True, False, None)
      )
      if right + wrong:
        text += (
          f"{task}: accuracy {100 * right / (right + wrong):.1f} % on {right + wrong} "
          f"answered flows, of {right + wrong + unknown} {what}\n"
        )
  return text
