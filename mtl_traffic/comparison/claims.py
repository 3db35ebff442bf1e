"""What the paper claims, as differences between rows that can be measured."""

import dataclasses
from collections.abc import Iterable, Mapping

from mtl_traffic import significance, tables
from mtl_traffic.comparison.rows import difference, where
from mtl_traffic.evaluation import Estimate
from mtl_traffic.tasks import MAIN_TASKS

INF = float("inf")
# "Considerably", "almost the same" and the like, in points of accuracy.
_CONSIDERABLE, _ALMOST = 1.0, 2.0
_BUDGETS = (10, 20, 50, 100)
# Lines of a table are compared run by run, though these tell them apart.
_PAIRED = ("method", "labels_per_class", "packets")

# The paper's own setting, where a claim says nothing else.
_MULTITASK = {
  "method": "multitask",
  "k": 60,
  "lambda": 1.0,
  "tasks": MAIN_TASKS,
  "bandwidth_dividers": (),
  "duration_dividers": (),
  "signed_lengths": True,
  "mask": "loss",
  "balancing": "sum",
  "learning_rate": 1e-3,
  "shortest_prefix": None,
  "labelling": "random",
}
# A baseline's row is what it is, whatever it does not read.
_BASELINE = {
  "k": 60,
  "signed_lengths": True,
  "learning_rate": 1e-3,
  "shortest_prefix": None,
  "labelling": "random",
}


@dataclasses.dataclass(frozen=True)
class Claim:
  """A claim that one accuracy exceeds another by a number of points in a range.

  Attributes:
    text: what is claimed.
    source: where in the paper.
    rows: fields that select the rows of the first accuracy.
    reference: fields that select the rows that it is compared with.
    low: the least difference that the claim allows, in points.
    high: the most.
    task: whose accuracy.
    dataset: the paper's dataset that it is about; empty for both.
  """

  text: str
  source: str
  rows: Mapping[str, object]
  reference: Mapping[str, object]
  low: float
  high: float = INF
  task: str = "class"
  dataset: str = ""

  def difference(self, rows: Iterable[dict]) -> Estimate:
    """The difference in points, run by run on the same draws."""
    fractions = difference(
      where(rows, **self.rows),
      where(rows, **self.reference),
      f"{self.task}_accuracy",
      *_PAIRED,
    )
    return Estimate(
      100 * fractions.mean, 100 * fractions.half_width, fractions.num_seeds
    )


@dataclasses.dataclass(frozen=True)
class Judged:
  """A claim and what rows say about it.

  Attributes:
    claim: what is claimed.
    value: the difference in points.
    verdict: of this claim alone.
    adjusted: its verdict among all that were judged.
  """

  claim: Claim
  value: Estimate
  verdict: str
  adjusted: str


VERDICTS = ("does not hold", "holds", "inconclusive")


def judge(rows: Iterable[dict], dataset: str, dividers: Iterable) -> list[Judged]:
  """Each claim that rows say something about, with its verdicts.

  Args:
    rows: of all experiments on one dataset, tested where they were trained.
    dataset: the paper's name of the dataset; empty for one that it does not have.
    dividers: `config.paper_dividers`, the rows of Table IV.
  """
  rows = list(rows)
  measured = [
    (claim, value)
    for claim in _claims(dividers)
    if claim.dataset in ("", dataset) and (value := claim.difference(rows)).num_seeds
  ]
  alone = [
    significance.verdict(value, claim.low, claim.high) for claim, value in measured
  ]
  adjusted = significance.holm(
    [significance.p_value(value, claim.low, claim.high) for claim, value in measured]
  )
  return [
    Judged(claim, value, verdict, verdict if p < 0.05 else VERDICTS[-1])
    for (claim, value), verdict, p in zip(measured, alone, adjusted, strict=True)
  ]


def count(judged: Iterable[Judged], adjusted: bool = False) -> dict[str, int]:
  """How many claims have which verdict."""
  verdicts = [one.adjusted if adjusted else one.verdict for one in judged]
  return {verdict: verdicts.count(verdict) for verdict in VERDICTS}


def table(judged: Iterable[Judged]) -> tables.Table:
  """Claims, their differences and their verdicts."""
  lines = [
    [
      one.claim.text,
      one.claim.source,
      tables.percent(_fractions(one.value), "+.1f"),
      _range(one.claim),
      one.value.num_seeds,
      one.verdict,
      one.adjusted,
    ]
    for one in judged
  ]
  header = ["claim", "paper", "difference", "claimed", "seeds", "verdict", "adjusted"]
  return tables.Table(header, lines)


def _fractions(points: Estimate) -> Estimate:
  return Estimate(points.mean / 100, points.half_width / 100, points.num_seeds)


def _range(claim: Claim) -> str:
  if claim.high == INF:
    return f"> {claim.low:g}"
  if claim.low == -INF:
    return f"< {claim.high:g}"
  return f"{claim.low:g} to {claim.high:g}"


def _claims(dividers: Iterable) -> Iterable[Claim]:
  yield from _few_labels()
  yield from _packets()
  yield from _lambdas()
  yield from _dividers(dividers)
  yield from _auxiliary_tasks()


def _few_labels() -> Iterable[Claim]:
  source = "V-B, V-C, Tables III, V"
  for method in ("single_task", "cnn_rnn", "random_forest", "transfer"):
    for labels in _BUDGETS:
      yield Claim(
        f"multi-task learning classifies considerably better than {method} "
        f"with {labels} labels",
        source,
        {**_MULTITASK, "labels_per_class": labels},
        {**_BASELINE, "method": method, "labels_per_class": labels},
        _CONSIDERABLE,
      )
  yield Claim(
    "multi-task learning with 100 labels is almost as good as single-task learning "
    "with all",
    "V-B",
    {**_MULTITASK, "labels_per_class": 100},
    {**_BASELINE, "method": "single_task", "labels_per_class": "all"},
    -_ALMOST,
    dataset="QUIC",
  )
  for task in MAIN_TASKS:
    yield Claim(
      f"{task} is predicted as well as by a network of its own (cnn_rnn)",
      source,
      {**_MULTITASK, "labels_per_class": 10},
      {**_BASELINE, "method": "cnn_rnn", "labels_per_class": 10},
      -_ALMOST,
      _ALMOST,
      task,
    )


def _packets() -> Iterable[Claim]:
  of_k = {**_MULTITASK, "labels_per_class": 20}
  for dataset, source in (("QUIC", "V-B, Figure 5"), ("ISCX", "V-C, Figure 7")):
    tasks = MAIN_TASKS if dataset == "QUIC" else ("bandwidth",)
    for task in tasks:
      yield Claim(
        f"{task} is no better predicted from 60 packets than from 30",
        source,
        {**of_k, "k": 60},
        {**of_k, "k": 30},
        -INF,
        _CONSIDERABLE,
        task,
        dataset,
      )
    yield Claim(
      "the class is considerably better predicted from 60 packets than from 30",
      source,
      {**of_k, "k": 60},
      {**of_k, "k": 30},
      _CONSIDERABLE,
      dataset=dataset,
    )
    yield Claim(
      "more than 60 packets do not help the class",
      source,
      {**of_k, "k": 120},
      {**of_k, "k": 60},
      -INF,
      _CONSIDERABLE,
      dataset=dataset,
    )
  yield Claim(
    "duration needs more than 30 packets",
    "V-C, Figure 7",
    {**of_k, "k": 45},
    {**of_k, "k": 30},
    _CONSIDERABLE,
    task="duration",
    dataset="ISCX",
  )


def _lambdas() -> Iterable[Claim]:
  of_lambda = {**_MULTITASK, "labels_per_class": 20}
  source = "V-B, V-C, Figures 6, 8"
  yield Claim(
    "a λ of 10 classifies better than one of 0.1",
    source,
    {**of_lambda, "lambda": 10.0},
    {**of_lambda, "lambda": 0.1},
    0.0,
  )
  for task in ("class", *MAIN_TASKS):
    yield Claim(
      f"a λ of 1000 is worse than one of 10: {task}",
      source,
      {**of_lambda, "lambda": 1000.0},
      {**of_lambda, "lambda": 10.0},
      -INF,
      0.0,
      task,
    )


def _dividers(rows: Iterable) -> Iterable[Claim]:
  at_twenty = {**_MULTITASK, "labels_per_class": 20}
  for bandwidth, duration, *_ in rows:
    fields = {
      "bandwidth_dividers": tuple(bandwidth),
      "duration_dividers": tuple(duration),
    }
    if not any(fields.values()):
      continue
    name = " and ".join(
      f"{task} dividers {', '.join(f'{value:g}' for value in values)}"
      for task, values in zip(MAIN_TASKS, fields.values(), strict=True)
      if values
    )
    yield Claim(
      f"the labelled flows' dividers classify better than {name}",
      "V-B, Table IV",
      at_twenty,
      {**at_twenty, **fields},
      0.0,
      dataset="QUIC",
    )
    for method in ("single_task", "transfer"):
      yield Claim(
        f"{name} still classify considerably better than {method}",
        "V-B, Table IV",
        {**at_twenty, **fields},
        {**_BASELINE, "method": method, "labels_per_class": 20},
        _CONSIDERABLE,
        dataset="QUIC",
      )


def _auxiliary_tasks() -> Iterable[Claim]:
  for task in ("mean_inter_arrival_time", "bursts"):
    yield Claim(
      f"{task} alone can stand in for bandwidth and duration: better than single_task "
      "with 10 labels",
      "VI",
      {**_MULTITASK, "labels_per_class": 10, "tasks": (task,)},
      {**_BASELINE, "method": "single_task", "labels_per_class": 10},
      _CONSIDERABLE,
    )
