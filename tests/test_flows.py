import jax
import numpy as np
import pytest

from mtl_traffic import flows as flows_lib
from mtl_traffic import pytrees  # noqa: F401 - flows are mapped over
from mtl_traffic.errors import InputError


def test_pad_packets_by_hand():
  packets, was_sorted = flows_lib.pad_packets(
    times=np.array([5.0, 5.5, 7.0, 1.0, 3.0, 2.0]),
    lengths=np.array([10, 20, 30, 40, 50, 60]),
    directions=np.array([1, -1, 1, 1, -1, 1]),
    counts=np.array([3, 0, 3]),
    max_packets=2,
  )
  np.testing.assert_allclose(packets.times, [[0, 0.5], [0, 0], [0, 1]])
  # The third flow's times go backwards: 50 bytes at 3 s come last and are cut off.
  np.testing.assert_array_equal(packets.lengths, [[10, 20], [0, 0], [40, 60]])
  np.testing.assert_array_equal(packets.directions, [[1, -1], [0, 0], [1, 1]])
  np.testing.assert_array_equal(packets.counts, [2, 0, 2])
  np.testing.assert_array_equal(was_sorted, [False, False, True])


def test_sorting_keeps_the_order_of_packets_of_equal_time():
  packets, _ = flows_lib.pad_packets(
    np.array([0.0, 2.0, 1.0, 1.0]), np.arange(4), np.ones(4), np.array([4])
  )
  np.testing.assert_array_equal(packets.lengths, [[0, 2, 3, 1]])


def test_no_flows_and_only_empty_flows_can_be_padded():
  nothing = np.zeros(0)
  for counts in ([], [0, 0]):
    packets, was_sorted = flows_lib.pad_packets(
      nothing, nothing, nothing, np.array(counts, int)
    )
    assert packets.times.shape == (len(counts), 0)
    assert not was_sorted.any()


def test_selecting_takes_all_fields(flows):
  chosen = flows[np.array([4, 2])]
  assert len(chosen) == 2
  np.testing.assert_array_equal(chosen.ids, ["flow-4", "flow-2"])
  np.testing.assert_array_equal(chosen.packets.times[1], flows.packets.times[2])


def test_concatenate_matches_names_and_widths(flows, flow_maker):
  other = flow_maker(30, seed=1, num_packets=20)
  other = other.replace(
    class_names=("c", "d", "a"),
    partition_names=("other",),
    classes=np.where(np.arange(30) == 0, -1, other.classes).astype(np.int32),
  )
  both = flows_lib.validate(flows_lib.concatenate([flows, other]))
  assert both.class_names == ("a", "b", "c", "d")
  assert both.partition_names == ("training", "other")
  assert both.classes[90] == -1
  names = np.array(both.class_names)[both.classes[91:]]
  np.testing.assert_array_equal(names, np.array(other.class_names)[other.classes[1:]])
  assert both.packets.times.shape == (120, 20)
  np.testing.assert_array_equal(both.packets.lengths[:90, :14], flows.packets.lengths)


def test_sound_flows_pass_unchanged(flows):
  assert flows_lib.validate(flows) is flows


def _with(array: np.ndarray, index, value) -> np.ndarray:
  array = array.copy()
  array[index] = value
  return array


@pytest.mark.parametrize(
  ("field", "index", "value", "message"),
  [
    ("packets.times", (3, 2), np.nan, "flow 'flow-3' (row 3), packet 3: times is nan"),
    ("packets.times", (3, 2), -1.0, "packet 3: times is -1.0, but must be at least 0"),
    ("packets.times", (3, 2), 1e9, "must not go backwards"),
    ("packets.lengths", (5, 0), -4, "flow 'flow-5' (row 5), packet 1: lengths is -4"),
    ("packets.directions", (0, 1), 0, "packet 2: directions is 0"),
    (
      "packets.counts",
      7,
      99,
      "flow 'flow-7' (row 7): counts is 99, but must be 0 to 14",
    ),
    ("num_packets", 7, 1, "num_packets is 1, but must be at least the number"),
    ("durations", 2, np.nan, "flow 'flow-2' (row 2): durations is nan"),
    ("durations", 2, np.inf, "durations is inf, but must be finite"),
    ("num_bytes", 2, -1, "num_bytes is -1"),
    ("classes", 2, 3, "classes is 3, but must be -1 to 2"),
    ("partitions", 2, -1, "partitions is -1, but must be 0 to 0"),
  ],
)
def test_validate_names_flow_and_field(flows, field, index, value, message):
  def spoil(path, leaf):
    name = jax.tree_util.keystr(path).lstrip(".")
    return _with(leaf, index, value) if name == field else leaf

  spoilt = jax.tree_util.tree_map_with_path(spoil, flows)
  with pytest.raises(InputError) as error:
    flows_lib.validate(spoilt, "somewhere")
  assert str(error.value).startswith("somewhere: ")
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_validate_compares_the_number_of_flows(flows):
  with pytest.raises(InputError, match="classes has 3 rows for 90 flows"):
    flows_lib.validate(flows.replace(classes=flows.classes[:3]))


def test_representations_tell_shape_and_names(flows):
  assert repr(flows.packets) == "Packets([flows, packets] = [90, 14])"
  text = repr(flows)
  assert "[90, 14]" in text and "a, b, c" in text and "training" in text


def test_representation_is_short_however_many_and_long_the_names_are(flows):
  names = tuple(f"{number:05}" + 195 * "x" for number in range(5000))
  text = repr(flows.replace(class_names=names, partition_names=names))
  assert len(text) < 300
  assert "00000" in text and "…" in text and "\n" not in text


def test_a_representation_needs_no_names(flows):
  none = flows.replace(class_names=(), partition_names=())
  assert "classes: none; partitions: none" in repr(none)


def test_names_are_static_under_jax(flows):
  doubled = jax.tree.map(lambda leaf: leaf, flows)
  assert doubled.class_names == flows.class_names
  assert len(jax.tree.leaves(flows.replace(ids=None))) == 9
