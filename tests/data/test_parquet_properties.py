"""Property tests of the Parquet reader."""

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl_traffic import pytrees  # noqa: F401 - flows are compared as trees
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, pad_packets, validate

quick = settings(
  max_examples=100,
  deadline=None,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)
seconds = st.floats(0, 1e6)
# A name of spaces alone is no name, so the class of its flows would be unknown.
names = st.text(
  st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8
).filter(str.strip)
packet = st.tuples(seconds, st.integers(0, 2**31 - 1), st.sampled_from([-1, 1]))


@st.composite
def any_flows(draw) -> Flows:
  """Flows whose class names are sorted and whose partitions appear in order."""
  series = draw(st.lists(st.lists(packet, max_size=5), min_size=1, max_size=6))
  count = len(series)

  def each(values, dtype) -> np.ndarray:
    return np.array(draw(st.lists(values, min_size=count, max_size=count)), dtype)

  counts = np.array([len(packets) for packets in series])
  flat = [packet for packets in series for packet in packets]
  times, lengths, directions = (np.array([p[i] for p in flat]) for i in range(3))
  packets, _ = pad_packets(times, lengths, directions, counts)
  class_names = tuple(sorted(draw(st.sets(names, min_size=1, max_size=3))))
  classes = each(st.integers(-1, len(class_names) - 1), np.int32)
  used = sorted(set(classes[classes >= 0].tolist()))
  rank = {old: new for new, old in enumerate(used)} | {-1: -1}
  num_partitions = draw(st.integers(1, count))
  return Flows(
    packets=packets,
    num_packets=counts + each(st.integers(0, 2**40), np.int64),
    durations=each(seconds, np.float64),
    num_bytes=each(st.integers(0, 2**60), np.int64),
    classes=np.array([rank[int(index)] for index in classes], np.int32),
    partitions=np.minimum(np.arange(count), num_partitions - 1).astype(np.int32),
    ids=each(names, np.str_),
    class_names=tuple(class_names[index] for index in used),
    partition_names=tuple(f"part {i}" for i in range(num_partitions)),
  )


@quick
@given(flows=any_flows())
def test_what_is_written_is_read_back(tmp_path, flows):
  path = tmp_path / "flows.parquet"
  parquet.write(flows, path)
  again = parquet.read(path)
  assert jax.tree.structure(again) == jax.tree.structure(flows)
  for read, written in zip(jax.tree.leaves(again), jax.tree.leaves(flows), strict=True):
    np.testing.assert_array_equal(read, written)


@quick
@given(content=st.binary())
def test_arbitrary_bytes_are_refused(tmp_path, content):
  path = tmp_path / "flows.parquet"
  path.write_bytes(content)
  with pytest.raises(InputError, match=r"flows\.parquet"):
    parquet.read(path)


@quick
@given(
  flows=any_flows(),
  position=st.floats(0, 1, exclude_max=True),
  change=st.one_of(st.none(), st.integers(1, 255)),
)
def test_a_damaged_file_is_refused_or_read_as_sound_flows(
  tmp_path, flows, position, change
):
  path = tmp_path / "flows.parquet"
  parquet.write(flows, path)
  content = bytearray(path.read_bytes())
  index = int(position * len(content))
  if change is None:
    del content[index:]
  else:
    content[index] ^= change
  path.write_bytes(content)
  try:
    again = parquet.read(path)
  except InputError as error:
    assert "\n" not in str(error)
  else:
    validate(again)
