import jax
import numpy as np
import pytest

import mtl_traffic as mtl
from mtl_traffic import encoding
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Packets

PACKETS = Packets(
  times=np.array([[0.0, 0.25, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
  lengths=np.array([[717, 1500, 1434, 0], [100, 0, 0, 0]]),
  directions=np.array([[1, -1, -1, 0], [1, 0, 0, 0]], np.int8),
  counts=np.array([3, 1]),
)


def test_encoding_by_hand():
  inputs = encoding.encode(PACKETS, k=5)
  assert inputs.shape == (2, 5, 2)
  assert inputs.dtype == np.float32
  # 2.75 s and 1500 bytes are clipped; the fifth place has no packet.
  expected_iat = [[0, 0.25, 1, 0, 0], [0, 0, 0, 0, 0]]
  expected_length = [[0.5, -1, -1, 0, 0], [100 / 1434, 0, 0, 0, 0]]
  np.testing.assert_allclose(inputs[..., 0], expected_iat)
  np.testing.assert_allclose(inputs[..., 1], expected_length, rtol=1e-6)


def test_authors_range_of_inter_arrival_times_leaves_padding_zero():
  inputs = encoding.encode(PACKETS, k=4, iat_range=(-1.0, 1.0))
  np.testing.assert_allclose(inputs[..., 0], [[-1, -0.5, 1, 0], [-1, 0, 0, 0]])


def test_only_the_first_k_packets_count():
  changed = PACKETS.replace(lengths=PACKETS.lengths + 7 * (np.arange(4) > 1))
  np.testing.assert_array_equal(
    encoding.encode(PACKETS, k=2), encoding.encode(changed, k=2)
  )


def test_encode_is_jittable(flows):
  jitted = jax.jit(encoding.encode, static_argnames=("k", "iat_range"))
  np.testing.assert_allclose(
    jitted(flows.packets, k=12), encoding.encode(flows.packets, k=12), atol=1e-6
  )


@pytest.mark.parametrize("k", [1, 14, 40])
def test_encoding_is_bounded_and_finite(flows, k):
  inputs = np.asarray(encoding.encode(flows.packets, k))
  assert inputs.shape == (90, k, 2)
  assert np.isfinite(inputs).all()
  assert np.abs(inputs).max() <= 1


def test_lengths_without_direction():
  inputs = encoding.encode(PACKETS, k=4, signed_lengths=False)
  np.testing.assert_allclose(inputs[0, :, 1], [0.5, 1, 1, 0], rtol=1e-6)


def test_cut_is_the_encoding_of_fewer_packets():
  inputs = encoding.encode(PACKETS, k=5)
  cut = encoding.cut(inputs, np.array([2, 4]))
  assert not cut[0, 2:].any()
  np.testing.assert_array_equal(cut[0, :2], inputs[0, :2])
  np.testing.assert_array_equal(cut[1], inputs[1])
  shown = encoding.first_packets(PACKETS, 5, num_packets=2)
  np.testing.assert_array_equal(
    encoding.cut(inputs, np.array([2, 2])), encoding.encode(shown)
  )


def test_first_packets_by_hand():
  first = encoding.first_packets(PACKETS, 5, num_packets=2)
  np.testing.assert_array_equal(
    first.inter_arrival_times, [[0, 0.25, 0, 0, 0], [0, 0, 0, 0, 0]]
  )
  assert first.inter_arrival_times.dtype == np.float32
  np.testing.assert_array_equal(
    first.lengths, [[717, 1500, 0, 0, 0], [100, 0, 0, 0, 0]]
  )
  np.testing.assert_array_equal(first.directions, [[1, -1, 0, 0, 0], [1, 0, 0, 0, 0]])
  np.testing.assert_array_equal(first.counts, [2, 1])
  np.testing.assert_array_equal(first.there, first.directions != 0)


@pytest.mark.parametrize("num_packets", [0, 1, 5, 11, 99])
def test_a_flow_that_is_cut_is_as_one_that_ends_there(flows, num_packets):
  there = np.arange(14) < np.minimum(flows.packets.counts, num_packets)[:, None]
  ending = Packets(
    times=flows.packets.times * there,
    lengths=flows.packets.lengths * there,
    directions=flows.packets.directions * there,
    counts=there.sum(axis=1),
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    encoding.first_packets(flows.packets, 12, num_packets),
    encoding.first_packets(ending, 12),
  )


def test_a_gap_of_microseconds_late_in_a_flow_is_kept():
  # Between the two times that a float32 has next to 600 s there are 61 µs.
  late = PACKETS.replace(times=np.array([[0.0, 600.0, 600.000005, 0], [0.0] * 4]))
  gap = encoding.first_packets(late, 4).inter_arrival_times[0, 2]
  assert gap == pytest.approx(5e-6, rel=1e-4)
  assert encoding.encode(late, k=4)[0, 2, 0] == pytest.approx(5e-6, rel=1e-4)
  assert mtl.inter_arrival_times(late)[0, 2] == pytest.approx(5e-6, rel=1e-4)


@pytest.mark.parametrize("read", [mtl.encode, mtl.first_packets])
def test_what_cannot_be_encoded_is_one_clear_error(flows, read):
  with pytest.raises(InputError, match=r"are Flows, .* of flows give flows\.packets"):
    read(flows, k=5)
  for k in (0, -1):
    with pytest.raises(InputError, match=f"k = {k} packets, must be at least 1"):
      read(flows.packets, k)


def test_encoding_needs_k_or_first_packets(flows):
  with pytest.raises(InputError, match=r"of flows give flows\.packets"):
    mtl.encode(flows)
  with pytest.raises(InputError, match="k = "):
    mtl.encode(flows.packets)


def test_logarithmic_inter_arrival_times_by_hand():
  logarithms = encoding.log_inter_arrival_times(encoding.first_packets(PACKETS, 4))
  np.testing.assert_allclose(
    logarithms, [[-6, np.log10(0.25), np.log10(2.75), -7], [-6, -7, -7, -7]], rtol=1e-5
  )


def test_length_counts_by_hand():
  first = encoding.first_packets(PACKETS, 4)
  counts = np.asarray(encoding.length_counts(first, ends=(4,), width=500))
  # Of each direction: below 500, 1000 and 1500 bytes, where 1500 counts too; bytes.
  np.testing.assert_array_equal(
    counts, [[0, 1, 0, 717, 0, 0, 2, 2934], [1, 0, 0, 100, 0, 0, 0, 0]]
  )


def test_length_counts_of_several_ends_are_those_of_each(flows):
  first = encoding.first_packets(flows.packets, 12)
  counts = encoding.length_counts(first, ends=(2, 6, 12))
  for end, columns in zip((2, 6, 12), np.split(counts, 3, axis=1), strict=True):
    shorter = encoding.first_packets(flows.packets, end)
    np.testing.assert_array_equal(columns, encoding.length_counts(shorter, (end,)))
