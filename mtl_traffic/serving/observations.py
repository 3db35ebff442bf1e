"""A model's answers for flows of known class, together with the truth."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mtl_traffic.flows import Flows
from mtl_traffic.serving.judgement import UNKNOWN, Reason
from mtl_traffic.serving.predictor import Answers, Predictor
from mtl_traffic.serving.truth import MEASURED_TASKS, NO_TRUTH, measured


@dataclasses.dataclass(frozen=True)
class Answered:
  """The answers for N flows, for one task.

  Attributes:
    truth: `[N]` int, the true class; −1 = the flow has none.
    probabilities: `[N, C]` float64, of the classes that the model knows.
    certainties: `[N]` float64, see `judgement.certainty`.
    reasons: `[N]` int8, a `Reason`; not 0 if the answer does not count.
  """

  truth: np.ndarray
  probabilities: np.ndarray
  certainties: np.ndarray
  reasons: np.ndarray

  @property
  def best(self) -> np.ndarray:
    """`[N]` int, the most probable class, also of answers that do not count."""
    return np.argmax(self.probabilities, axis=-1)

  @property
  def confidences(self) -> np.ndarray:
    """`[N]`, the probability of the most probable class."""
    return np.max(self.probabilities, axis=-1)

  @property
  def labels(self) -> np.ndarray:
    """`[N]` int, the most probable class; −1 = the answer does not count."""
    return np.where(self.reasons == Reason.ANSWERED, self.best, UNKNOWN)

  @property
  def is_right(self) -> np.ndarray:
    """`[N]` bool, whether the answer is correct; unknown counts as wrong."""
    return (self.labels == self.truth) & (self.truth != NO_TRUTH)


@dataclasses.dataclass(frozen=True)
class Observations:
  """N labelled flows and what a model answered for them.

  Attributes:
    class_names: the classes that the model knows, then the flows' other classes.
    num_known: the number of classes that the model knows.
    k: the most packets that the model reads.
    seen: `[N]` int, packets that the last answers are based on.
    captures: `[N]` str, the capture of each flow; "" = none.
    clients: `[N]` str, the address of each flow's client; "" = unknown.
    tasks: the last answers, for the class and for tasks that are measured at the end of
      a flow.
    after: the class answers after at most so many packets, by number of packets.
    task_names: the class names of the other tasks.
    class_counts: the labelled flows of each class that the model was trained on; empty
      = unknown.
  """

  class_names: tuple[str, ...]
  num_known: int
  k: int
  seen: np.ndarray
  captures: np.ndarray
  clients: np.ndarray
  tasks: dict[str, Answered]
  after: dict[int, Answered]
  task_names: dict[str, tuple[str, ...]]
  class_counts: tuple[int, ...] = ()

  def __len__(self) -> int:
    return len(self.seen)


def observe(
  predictor: Predictor,
  flows: Flows,
  *,
  clients: Sequence[str | None] | None = None,
  came_to_end: np.ndarray | None = None,
  points: Sequence[int] | None = None,
  threshold: float = 0.0,
) -> Observations:
  """Predicts those of N flows whose class is known.

  Args:
    predictor: the model; the class must be one of its tasks.
    flows: N flows. If a flow's id begins with its partition and "#", as ids from
      captures do, the partition is its capture.
    clients: `[N]`, the addresses of the flows' clients.
    came_to_end: `[N]` bool, whether a flow is complete; a flow that was cut off has no
      true bandwidth or duration. By default all are complete.
    points: the packet counts after which to predict, ascending. Shorter flows are
      predicted from all their packets. By default only k.
    threshold: flows of lower certainty are unknown.
  """
  labelled = flows.classes >= 0
  flows = flows[labelled]
  known = predictor.names["class"]
  names = known + tuple(name for name in flows.class_names if name not in known)
  truth = {
    "class": np.array([*map(names.index, flows.class_names), NO_TRUTH])[flows.classes]
  }
  for task in MEASURED_TASKS:
    if task in predictor.tasks:
      dividers = predictor.description.dividers[task]
      truth[task] = measured(flows, task, dividers)
      if came_to_end is not None:
        truth[task] = np.where(came_to_end[labelled], truth[task], NO_TRUTH)

  def answered(answers: Answers, task: str, seen: np.ndarray) -> Answered:
    return Answered(
      truth=truth[task],
      probabilities=np.asarray(answers.probabilities[task], np.float64),
      certainties=np.asarray(answers.certainties(task), np.float64),
      reasons=predictor.judge(answers, task, seen, threshold).reasons,
    )

  after = {}
  for point in points or (predictor.k,):
    seen = np.minimum(flows.num_packets, point)
    answers = predictor(flows, point)
    after[point] = answered(answers, "class", seen)
  given = [""] * len(labelled) if clients is None else [of or "" for of in clients]
  return Observations(
    class_names=names,
    num_known=len(known),
    k=predictor.k,
    seen=seen,
    captures=captures_of(flows),
    clients=np.array(given, object)[labelled],
    tasks={task: answered(answers, task, seen) for task in truth},
    after=after,
    task_names={task: predictor.names[task] for task in truth if task != "class"},
    class_counts=predictor.description.class_counts,
  )


def captures_of(flows: Flows) -> np.ndarray:
  """`[N]` str, the capture of each flow; "" = none."""
  partitions = [flows.partition_names[i] for i in flows.partitions.tolist()]
  return np.array(
    [
      partition if id_.startswith(f"{partition}#") else ""
      for partition, id_ in zip(partitions, flows.ids.tolist(), strict=True)
    ],
    object,
  )


def join(batches: Sequence[Observations]) -> Observations:
  """Joins observations of one model, with equal points and class names."""

  def joined(*parts: Answered) -> Answered:
    fields = zip(*(vars(part).values() for part in parts), strict=True)
    return Answered(*map(np.concatenate, fields))

  def each(name: str) -> dict:
    parts = [getattr(one, name) for one in batches]
    return {key: joined(*(part[key] for part in parts)) for key in parts[0]}

  arrays = {
    name: np.concatenate([getattr(one, name) for one in batches])
    for name in ("seen", "captures", "clients")
  }
  return dataclasses.replace(
    batches[0], tasks=each("tasks"), after=each("after"), **arrays
  )
