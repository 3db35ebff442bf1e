import jax
import numpy as np
import pytest

from mtl_traffic import encoding
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
  first = encoding.first_packets(PACKETS, 2)
  np.testing.assert_array_equal(
    encoding.cut(inputs, np.array([2, 2])), encoding.encode(first, k=5)
  )


def test_logarithmic_inter_arrival_times_by_hand():
  logarithms = encoding.log_inter_arrival_times(PACKETS)
  np.testing.assert_allclose(
    logarithms, [[-6, np.log10(0.25), np.log10(2.75), -7], [-6, -7, -7, -7]], rtol=1e-5
  )


def test_length_counts_by_hand():
  counts = np.asarray(encoding.length_counts(PACKETS, width=500))
  # Of each direction: below 500, 1000 and 1500 bytes, where 1500 counts too; bytes.
  np.testing.assert_array_equal(
    counts, [[0, 1, 0, 717, 0, 0, 2, 2934], [1, 0, 0, 100, 0, 0, 0, 0]]
  )
