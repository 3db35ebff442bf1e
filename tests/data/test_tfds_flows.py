"""Tests of how TFDS stores flows."""

import jax
import numpy as np
import pytest

from mtl_traffic import pytrees  # noqa: F401 - flows are compared as trees
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, Packets

tfds = pytest.importorskip("tensorflow_datasets", reason="needs TFDS")

from mtl_traffic.data import tfds_flows  # noqa: E402


class TwoPartsDataset(tfds.core.ShardBasedBuilder):
  """Stores the flows it is given; two shards in the first split, one in the second."""

  VERSION = tfds.core.Version("1.0.0")
  pkg_dir_path = tfds.core.Path(__file__).parent

  def __init__(self, flows: Flows, **kwargs):
    self.flows = flows
    super().__init__(file_format="array_record", **kwargs)

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds_flows.features(self.flows.class_names),
      disable_shuffling=True,
    )

  def _shard_iterators_per_split(self, dl_manager):
    shards = [lambda rows=rows: self._examples(rows) for rows in ([0, 1], [2], [3])]
    return {"part-b": shards[:2], "part-a": shards[2:]}

  def _examples(self, rows):
    return tfds_flows.examples(self.flows[np.array(rows)])


def invented_flows() -> Flows:
  # Neither 0.1 nor 1/3 survives a float32, nor the large counts an int32.
  times = np.zeros((4, 3))
  times[0] = [0, 0.1, 1e5 + 1 / 3]
  lengths = np.array([[9, 8, 7], [5, 0, 0], [6, 0, 0], [2**31 - 1, 0, 0]], np.int32)
  return Flows(
    packets=Packets(
      times=times,
      lengths=lengths,
      directions=np.sign(lengths).astype(np.int8) * np.array([1, -1, 1], np.int8),
      counts=np.array([3, 1, 1, 1], np.int32),
    ),
    num_packets=np.array([2**40, 1, 1, 1]),
    durations=np.array([1e5 + 1 / 3, 0, 0, 0]),
    num_bytes=np.array([2**50, 5, 6, 7]),
    classes=np.array([1, 0, -1, 1], np.int32),
    partitions=np.array([0, 0, 0, 1], np.int32),
    ids=np.array(["b", "flöw", "b", "a"]),
    class_names=("chat", "voice"),
    partition_names=("part-b", "part-a"),
  )


@pytest.fixture
def builder(tmp_path):
  builder = TwoPartsDataset(invented_flows(), data_dir=tmp_path)
  tfds_flows.prepare(builder)
  return builder


def assert_same(left: Flows, right: Flows) -> None:
  assert jax.tree.structure(left) == jax.tree.structure(right)
  for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def test_what_is_stored_is_read_back(builder):
  assert_same(tfds_flows.load(builder), builder.flows)


def test_a_later_session_reads_the_same(builder):
  again = tfds.builder_from_directory(builder.data_dir)
  assert_same(tfds_flows.load(again), builder.flows)


def test_keeps_the_first_packets(builder):
  flows = tfds_flows.load(builder, max_packets=2)
  np.testing.assert_array_equal(flows.packets.times[0], [0, 0.1])
  np.testing.assert_array_equal(flows.packets.counts, [2, 1, 1, 1])
  np.testing.assert_array_equal(flows.num_packets, builder.flows.num_packets)


def test_says_that_a_dataset_is_not_prepared(tmp_path):
  builder = TwoPartsDataset(invented_flows(), data_dir=tmp_path)
  with pytest.raises(InputError, match=r"1\.0\.0: not prepared"):
    tfds_flows.load(builder)


def test_says_that_a_dataset_is_damaged(builder, tmp_path):
  for shard in tmp_path.rglob("*array_record*"):
    shard.write_bytes(b"not records")
  with pytest.raises(InputError, match="delete it and prepare it again"):
    tfds_flows.load(tfds.builder_from_directory(builder.data_dir))


def test_names_a_manual_dir_that_is_not_there(tmp_path):
  builder = TwoPartsDataset(invented_flows(), data_dir=tmp_path)
  with pytest.raises(InputError, match="absent: no such folder"):
    tfds_flows.prepare(builder, tmp_path / "absent")


@pytest.mark.parametrize(
  "error",
  [OSError(28, "No space left on device"), RuntimeError("No space left on device; x")],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, error):
  builder = TwoPartsDataset(invented_flows(), data_dir=tmp_path)

  def fail(rows):
    yield from TwoPartsDataset._examples(builder, rows[:1])
    raise error

  monkeypatch.setattr(builder, "_examples", fail)
  with pytest.raises(InputError, match=r"1\.0\.0: .*No space left on device; nothing"):
    tfds_flows.prepare(builder)
  assert not list(tmp_path.rglob("*array_record*"))
  monkeypatch.undo()
  tfds_flows.prepare(builder)
  assert_same(tfds_flows.load(builder), builder.flows)
