"""The columns of answers; `docs/answers.schema.json` describes them as JSON.

Within a version, names and meanings do not change, but columns may be added.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mtl_traffic.serving.answer_files import VERSION
from mtl_traffic.serving.judgement import REASON_NAMES, UNKNOWN_NAME, Judgement
from mtl_traffic.serving.truth import MEASURED_TASKS

if TYPE_CHECKING:  # JAX comes with it, which takes a second.
  from mtl_traffic.serving.predictor import Answers

NUMBER = 1  # The version; raise it when a name or a meaning changes.


def columns(
  tasks: Sequence[str], evaluate: bool = False, labelled: bool = False
) -> pa.Schema:
  """The columns of answers.

  Args:
    tasks: the tasks that the model answers.
    evaluate: whether to add the true values that are measured when flows end.
    labelled: whether to add the true class from labels.
  """
  text, count = pa.string(), pa.int64()
  when = pa.timestamp("ns", "UTC")
  fields = {
    "event": text,
    "revision": count,
    "flow": text,
    "client_address": text,
    "client_port": count,
    "server_address": text,
    "server_port": count,
    "protocol": text,
    "start_time": when,
    "time": when,
    "packets": count,
  }
  for task in tasks:
    kinds = text, pa.float64(), pa.float64(), text
    fields |= dict(zip(of_task(task), kinds, strict=True))
  if labelled:
    fields |= {"true_class": text}
  if evaluate:
    fields |= {"flow_packets": count, "flow_bytes": count}
    fields |= {"flow_duration": pa.float64(), "end_reason": text}
    fields |= {f"true_{task}": text for task in tasks if task in MEASURED_TASKS}
  return pa.schema(list(fields.items()), {VERSION: str(NUMBER)})


def of_task(task: str) -> tuple[str, str, str, str]:
  """The columns of a task: class, probability, certainty, and why it is unknown."""
  return (
    task,
    f"{task}_probability",
    f"{task}_certainty",
    f"{task}_unknown_because",
  )


def values(
  answers: "Answers", task: str, judged: Judgement
) -> dict[str, list[str | float | None]]:
  """The values of a task's columns, for N flows.

  Args:
    answers: a model's answers.
    task: one of its tasks.
    judged: which of them count.
  """
  names = (*answers.names[task], UNKNOWN_NAME)
  confidences, certainties = (
    np.round(numbers.astype(np.float64), 6).tolist()
    for numbers in (answers.confidences(task), answers.certainties(task))
  )
  classes = [names[label] for label in judged.labels.tolist()]
  reasons = [REASON_NAMES.get(reason) for reason in judged.reasons.tolist()]
  columns_ = classes, confidences, certainties, reasons
  return dict(zip(of_task(task), columns_, strict=True))
