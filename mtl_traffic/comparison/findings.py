"""Summarises the results on a dataset in a few sentences."""

import dataclasses
from collections.abc import Mapping

from mtl_traffic.charts import PAPERS
from mtl_traffic.comparison import claims
from mtl_traffic.comparison.claims import Judged
from mtl_traffic.comparison.results import Results
from mtl_traffic.comparison.rows import (
  difference,
  estimate,
  few_labels,
  group,
  over_flows,
  where,
)
from mtl_traffic.escapes import for_markdown
from mtl_traffic.evaluation import Estimate
from mtl_traffic.tables import percent


@dataclasses.dataclass(frozen=True)
class Best:
  """The method with the highest class accuracy with few labels.

  Attributes:
    method: its name.
    labels: the number of labels per class that stands for few, see `few_labels`.
    accuracy: its class accuracy.
    over_flows: the interval of that accuracy over flows, in %.
    gain: its difference to the paper's method on the same draws; None if the paper's
      method was not run or is the best.
  """

  method: str
  labels: int | str
  accuracy: Estimate
  over_flows: str
  gain: Estimate | None


@dataclasses.dataclass(frozen=True)
class Findings:
  """The best method, if methods were compared, and the claims that were judged."""

  best: Best | None
  judged: list[Judged]


def find(results: Results) -> Findings:
  """Finds the best method and judges the paper's claims."""
  paper = results.paper
  judged = claims.judge(
    results.pooled(), paper["paper_dataset"], paper["paper_dividers"]
  )
  return Findings(_best(results.trained_on("label_budget")), judged)


def _best(rows: list[dict]) -> Best | None:
  if not any(row["class_accuracy"] is not None for row in rows):
    return None
  labels = few_labels(row for row in rows if row["class_accuracy"] is not None)
  at_few = where(rows, labels_per_class=labels)
  known = {
    method: (accuracy, members)
    for (method,), members in group(at_few, "method").items()
    if (accuracy := estimate(members, "class_accuracy")).num_seeds
  }
  method = max(known, key=lambda name: known[name][0].mean)
  accuracy, members = known[method]
  gain = None
  if PAPERS in known and method != PAPERS:
    gain = difference(members, known[PAPERS][1], "class_accuracy", "method")
  return Best(method, labels, accuracy, over_flows(members), gain)


def sentences(found: Findings, links: Mapping[str, str]) -> list[str]:
  """The findings as Markdown, one or two sentences each.

  Args:
    found: see `find`.
    links: targets of the links "claims" and "intervals"; an absent one makes no link.
  """
  said = []
  if best := found.best:
    name = for_markdown(best.method)
    text = (
      f"**Best with {_labels(best.labels)}: {name}**, with a class accuracy of "
      f"{percent(best.accuracy)} % (interval over flows: {best.over_flows} %)."
    )
    if best.method == PAPERS:
      text += " It is the paper's method."
    said.append(text)
  if best and best.gain is not None and best.gain.num_seeds:
    seeds, is_sure = best.gain.num_seeds, best.gain.mean > best.gain.half_width
    said.append(
      f"**{percent(best.gain, '+.1f')} points against the paper's {PAPERS}**, paired "
      f"over {seeds} seed{'s' * (seeds != 1)}"
      f"{'' if is_sure else '; this is not significant'}."
    )
  if found.judged:
    alone, adjusted = (claims.count(found.judged, how) for how in (False, True))
    said.append(
      "**Verdicts on "
      f"{_linked(f'{len(found.judged)} claims of the paper', links, 'claims')}: "
      f"{_counted(alone)}.** Adjusted for multiple comparisons: {_counted(adjusted)}."
    )
  if best and "intervals" in links:
    said.append(
      "± is half of a 95 % interval over seeds. It describes the variation between "
      "random splits of these flows, not new traffic "
      f"({_linked('details', links, 'intervals')})."
    )
  return said


def _counted(verdicts: Mapping[str, int]) -> str:
  return ", ".join(f"{verdicts[verdict]} × {verdict}" for verdict in claims.VERDICTS)


def _labels(labels: int | str) -> str:
  return f"{for_markdown(labels)} label{'s' * (labels != 1)} per class"


def _linked(text: str, links: Mapping[str, str], name: str) -> str:
  return f"[{text}]({links[name]})" if name in links else text
