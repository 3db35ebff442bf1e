"""Answers for flows on Apache Beam; needs the extra `beam`.

    tables = pipeline | ReadFromParquetBatched("flows.parquet")
    results = tables | RunInference(FlowsHandler("model"))

An element is an Arrow table of flows in the curated layout, such as a row group of a
Parquet file. Tables are far faster than rows, and a model answers many flows at a time.
"""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
from absl import logging
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from mtl_traffic.data import parquet
from mtl_traffic.serving import answer_columns, checkpoints
from mtl_traffic.serving.predictor import Predictor, load_model


class FlowsHandler(ModelHandler[pa.Table, PredictionResult, Predictor]):
  """A trained model for `RunInference`: a table of flows in, a table of answers out.

  The result of a table is a `PredictionResult` whose `inference` has a row for each of
  its flows, in order, and the columns of `schema`.
  """

  def __init__(
    self,
    model: str | os.PathLike,
    threshold: float = 0.0,
    num_packets: int | None = None,
  ):
    """Args:
    model: the folder of a trained model; workers see it under the same path.
    threshold: flows of lower certainty are unknown.
    num_packets: how many of a flow's first packets to read; by default k.

    Raises:
      InputError: the folder holds no model.
    """
    super().__init__()
    self._model, self._threshold = os.path.abspath(model), threshold
    self._num_packets = num_packets
    self._tasks = tuple(checkpoints.read_description(model)["temperatures"])

  @property
  def schema(self) -> pa.Schema:
    """The columns of answers.

    They are those of `predict` that flows of a file can have, and for each task
    `TASK_probabilities`, of all its classes in the model's order.
    """
    known = answer_columns.columns(self._tasks)
    fields = [known.field("flow"), known.field("packets")]
    for task in self._tasks:
      fields += [known.field(name) for name in answer_columns.of_task(task)]
      fields.append(pa.field(f"{task}_probabilities", pa.list_(pa.float32())))
    return pa.schema(fields, known.metadata)

  def load_model(self) -> Predictor:
    """Loads the model, once in each process."""
    return load_model(self._model)

  def run_inference(
    self,
    batch: Sequence[pa.Table],
    model: Predictor,
    inference_args: Mapping[str, object] | None = None,
  ) -> Iterator[PredictionResult]:
    """Yields the answers for each table.

    Raises:
      InputError: a table holds no flows, or an invalid value.
    """
    for table in batch:
      yield PredictionResult(table, self._answers(table, model), self._model)

  def batch_elements_kwargs(self) -> Mapping[str, int]:
    """Says that an element is a batch by itself."""
    return {"max_batch_size": 1}

  def get_num_bytes(self, batch: Sequence[pa.Table]) -> int:
    """The size of tables; the default would pickle them."""
    return sum(table.nbytes for table in batch)

  def get_metrics_namespace(self) -> str:
    """What Beam's metrics are called."""
    return "mtl_traffic"

  def _answers(self, table: pa.Table, predictor: Predictor) -> pa.Table:
    rules = parquet.rules_of(table.schema)
    for difference in predictor.description.differences(rules):
      _warn_once(difference)
    flows = parquet.of_table(table)
    num_packets = self._num_packets or predictor.k
    answers = predictor(flows, num_packets)
    seen = flows.packets.counts.clip(max=num_packets)
    columns = {"flow": flows.ids.tolist(), "packets": seen.tolist()}
    for task in self._tasks:
      judged = predictor.judge(answers, task, seen, self._threshold)
      columns |= answer_columns.values(answers, task, judged)
      columns[f"{task}_probabilities"] = list(answers.probabilities[task])
    return pa.table(columns, self.schema)


@functools.cache
def _warn_once(message: str) -> None:
  logging.warning("%s", message)
