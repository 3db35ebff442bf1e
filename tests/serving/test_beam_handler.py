"""A model's answers on Beam are those that it gives without."""

import pathlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError
from mtl_traffic.serving import checkpoints
from mtl_traffic.serving.predictor import load_model
from tests.pages import blocks
from tests.serving.model_maker import make_model

pytest.importorskip("apache_beam", reason="the extra beam brings it")
from mtl_traffic.serving import beam_handler
from mtl_traffic.serving.beam_handler import FlowsHandler

ROOT = pathlib.Path(__file__).parents[2]
K, THRESHOLD = 8, 0.7  # The threshold is that of the page's program.


@pytest.fixture(scope="module")
def folder(tmp_path_factory, flow_maker):
  """A model, and a file of three row groups of flows."""
  folder = tmp_path_factory.mktemp("room")
  checkpoints.save(folder / "model", *make_model(k=K, num_members=2))
  table = parquet.to_table(flow_maker(90), {"payload_lengths": True})
  pq.write_table(table, folder / "flows.parquet", row_group_size=40)
  return folder


@pytest.fixture(scope="module")
def expected(folder):
  predictor = load_model(folder / "model")
  flows = parquet.read(folder / "flows.parquet")
  return predictor, flows, predictor(flows)


@pytest.fixture(scope="module")
def handler(folder):
  return FlowsHandler(folder / "model")


def check(table, expected, threshold=0.0):
  """Compares a table of answers with the answers for the same flows."""
  predictor, flows, answers = expected
  assert table["flow"].to_pylist() == flows.ids.tolist()
  assert table["packets"].to_pylist() == [K] * len(flows)
  for task in predictor.tasks:
    probabilities = np.array(table[f"{task}_probabilities"].to_pylist())
    np.testing.assert_allclose(probabilities, answers.probabilities[task], atol=1e-6)
    names = (*predictor.names[task], "unknown")
    labels = answers.labels(task, threshold).tolist()
    assert table[task].to_pylist() == [names[label] for label in labels]


def test_the_program_of_the_page(folder, expected):
  page = (ROOT / "docs/howto/machines.md").read_text()
  (program,) = (block for block in blocks(page) if block.kind == "python")
  (folder / "answer.py").write_text(program.code)
  options = ("--runner=FnApiRunner", "--direct_num_workers=2")
  done = subprocess.run(
    [sys.executable, "answer.py", *options, "--direct_running_mode=multi_processing"],
    cwd=folder,
    capture_output=True,
    text=True,
    env={"PYTHONPATH": str(ROOT), "PATH": ""},
  )
  assert done.returncode == 0, done.stderr
  table = pa.concat_tables(map(pq.read_table, sorted(folder.glob("answers-*.parquet"))))
  order = {flow: i for i, flow in enumerate(expected[1].ids.tolist())}
  table = table.take(np.argsort([order[flow] for flow in table["flow"].to_pylist()]))
  check(table, expected, THRESHOLD)
  assert set(table["class_unknown_because"].to_pylist()) == {"too improbable"}


def test_each_table_has_its_answers(folder, expected, handler):
  table = pq.read_table(folder / "flows.parquet")
  batch = [table[:40], table[40:]]
  results = list(handler.run_inference(batch, handler.load_model()))
  assert [result.example for result in results] == batch
  assert all(result.inference.schema == handler.schema for result in results)
  check(pa.concat_tables([result.inference for result in results]), expected)
  assert handler.get_num_bytes(batch) == table[:40].nbytes + table[40:].nbytes


def test_flows_of_other_rules_are_told_once(folder, handler, caplog):
  beam_handler._warn_once.cache_clear()
  table, model = pq.read_table(folder / "flows.parquet"), handler.load_model()
  with caplog.at_level("WARNING", "absl"):
    list(handler.run_inference([table.replace_schema_metadata()], model))
    assert not caplog.messages
    list(handler.run_inference([table, table], model))
  (message,) = caplog.messages
  assert message.startswith("the flows were made with payload_lengths = True, but")


def test_columns_that_are_missing_are_named(folder, handler):
  table = pq.read_table(folder / "flows.parquet").drop_columns(["pkts_dir"])
  with pytest.raises(InputError, match="lacks the column pkts_dir"):
    list(handler.run_inference([table], handler.load_model()))


def test_a_folder_without_a_model_is_named_at_once(tmp_path):
  with pytest.raises(InputError, match="holds no trained model"):
    FlowsHandler(tmp_path)
