"""The paper's claims, each as a difference between measured accuracies."""

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
# Two runs with the same seed are paired although they differ in these fields.
_PAIRED = ("method", "labels_per_class", "packets")

# The paper's own settings, unless a claim is about others.
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
# Only the settings that baselines read; the others do not change their results.
_BASELINE = {
  "k": 60,
  "signed_lengths": True,
  "learning_rate": 1e-3,
  "shortest_prefix": None,
  "labelling": "random",
}


@dataclasses.dataclass(frozen=True)
class Claim:
  """A claim that the difference between two accuracies lies in a range.

  Attributes:
    text: the claim in words.
    source: the section, table or figure of the paper.
    rows: fields that select the rows of the first accuracy.
    reference: fields that select the rows of the second, which is subtracted.
    low: lower limit of the claimed difference, in percentage points.
    high: upper limit of the claimed difference, in percentage points.
    task: the task whose accuracy is compared.
    dataset: the paper's name of the dataset that the claim is about; empty for both.
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
    """The difference in percentage points, paired by draw."""
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
  """A claim with its measured difference and verdicts.

  Attributes:
    claim: the claim.
    value: the difference in percentage points.
    verdict: the verdict on this claim alone.
    adjusted: the verdict after adjustment for the number of claims.
  """

  claim: Claim
  value: Estimate
  verdict: str
  adjusted: str


VERDICTS = ("does not hold", "holds", "inconclusive")


def judge(rows: Iterable[dict], dataset: str, dividers: Iterable) -> list[Judged]:
  """Judges each claim for which there are rows.

  Args:
    rows: rows of all experiments on one dataset, tested on the partition that they
      were trained on.
    dataset: the paper's name of the dataset; empty if it is not in the paper.
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
  """The number of claims with each verdict."""
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
  header = ["claim", "paper", "measured (points)", "claimed (points)", "seeds"]
  return tables.Table([*header, "verdict", "adjusted"], lines)


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
    "multi-task learning with 100 labels classifies almost as well as single_task "
    "with all labels",
    "V-B",
    {**_MULTITASK, "labels_per_class": 100},
    {**_BASELINE, "method": "single_task", "labels_per_class": "all"},
    -_ALMOST,
    dataset="QUIC",
  )
  for task in MAIN_TASKS:
    yield Claim(
      f"{task} is predicted as well as by a separate network (cnn_rnn)",
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
        f"{task} is not predicted better from 60 packets than from 30",
        source,
        {**of_k, "k": 60},
        {**of_k, "k": 30},
        -INF,
        _CONSIDERABLE,
        task,
        dataset,
      )
    yield Claim(
      "the class is predicted considerably better from 60 packets than from 30",
      source,
      {**of_k, "k": 60},
      {**of_k, "k": 30},
      _CONSIDERABLE,
      dataset=dataset,
    )
    yield Claim(
      "the class is not predicted better from 120 packets than from 60",
      source,
      {**of_k, "k": 120},
      {**of_k, "k": 60},
      -INF,
      _CONSIDERABLE,
      dataset=dataset,
    )
  yield Claim(
    "duration is predicted considerably better from 45 packets than from 30",
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
    "the class is predicted better with λ = 10 than with λ = 0.1",
    source,
    {**of_lambda, "lambda": 10.0},
    {**of_lambda, "lambda": 0.1},
    0.0,
  )
  for task in ("class", *MAIN_TASKS):
    yield Claim(
      f"{'the class' if task == 'class' else task} is predicted worse with λ = 1000 "
      "than with λ = 10",
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
      f"dividers from the labelled flows classify better than {name}",
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
      f"{task} alone can replace bandwidth and duration: with 10 labels it classifies "
      "better than single_task",
      "VI",
      {**_MULTITASK, "labels_per_class": 10, "tasks": (task,)},
      {**_BASELINE, "method": "single_task", "labels_per_class": 10},
      _CONSIDERABLE,
    )
