import jax
import numpy as np
import pytest

from mtl_traffic import flows as flows_lib
from mtl_traffic import pytrees  # noqa: F401 - flows are compared as trees
from mtl_traffic.data.simulated import (
  ACK_BYTES,
  APPLICATIONS,
  BATCH,
  CLIENTS,
  arrival,
  simulate,
)
from mtl_traffic.errors import InputError


@pytest.fixture(scope="module")
def simulated():
  return simulate()


@pytest.fixture(scope="module")
def whole_flows():
  """Flows of which every packet is shown."""
  flows = simulate(num_flows=BATCH, max_packets=1000)
  flows = flows[flows.num_packets <= 1000]
  assert len(flows) > 300
  return flows


def by_class(flows, values):
  return {
    name: values[flows.classes == index] for index, name in enumerate(flows.class_names)
  }


def assert_same(flows, others):
  jax.tree.map(np.testing.assert_array_equal, flows, others)


def test_flows_are_sound(simulated, whole_flows):
  flows_lib.validate(simulated)
  flows_lib.validate(whole_flows)


def test_the_same_seed_gives_the_same_flows(simulated):
  assert_same(simulate(), simulated)


def test_another_seed_gives_other_flows(simulated):
  others = simulate(seed=1)
  assert np.mean(others.durations == simulated.durations) < 0.01


def test_batches_differ(simulated):
  assert not np.any(simulated.durations[:BATCH] == simulated.durations[BATCH:][:BATCH])


@pytest.mark.parametrize("num_flows", [1, BATCH, BATCH + 1])
def test_fewer_flows_are_the_first_of_more(simulated, num_flows):
  fewer = simulate(num_flows=num_flows)
  assert len(fewer) == num_flows
  assert_same(fewer, simulated[:num_flows])


@pytest.mark.parametrize("max_packets", [1, 7, 60])
def test_fewer_packets_are_the_same_flows_cut(simulated, max_packets):
  packets = simulated.packets
  expected = simulated.replace(
    packets=flows_lib.Packets(
      times=packets.times[:, :max_packets],
      lengths=packets.lengths[:, :max_packets],
      directions=packets.directions[:, :max_packets],
      counts=np.minimum(packets.counts, max_packets),
    )
  )
  assert_same(simulate(max_packets=max_packets), expected)


def test_totals_are_those_of_all_packets(whole_flows):
  packets = whole_flows.packets
  np.testing.assert_array_equal(packets.counts, whole_flows.num_packets)
  np.testing.assert_array_equal(packets.lengths.sum(axis=1), whole_flows.num_bytes)
  np.testing.assert_array_equal(packets.times.max(axis=1), whole_flows.durations)


def test_totals_cover_the_first_packets(simulated):
  packets = simulated.packets
  assert np.all(packets.lengths.sum(axis=1) <= simulated.num_bytes)
  assert np.all(packets.times.max(axis=1) <= simulated.durations)


def test_a_flow_opens_with_a_full_packet_of_the_client(simulated):
  packets = simulated.packets
  assert np.all(packets.times[:, 0] == 0)
  assert np.all(packets.directions[:, :2] == [1, -1])
  assert set(packets.lengths[:, 0]) == {client.mtu for client in CLIENTS}
  assert np.all(packets.lengths <= packets.lengths[:, :1])


def test_round_trip_times_spread_widely(simulated):
  fastest, median, slowest = np.quantile(simulated.packets.times[:, 1], [0.1, 0.5, 0.9])
  assert 0.02 < median < 0.05
  assert slowest / fastest > 4


def test_a_fast_server_waits_for_its_window_to_open():
  # Windows of 10, 20 and 40 packets, one a round trip.
  sent = np.array([1, 10, 11, 30, 31])
  times = arrival(rtt=0.1, packet_s=0.001, sent=sent)
  np.testing.assert_allclose(times, [0.101, 0.11, 0.2, 0.2, 0.3])


def test_a_slow_server_sends_at_its_rate():
  times = arrival(rtt=0.1, packet_s=0.05, sent=np.array([1, 10, 11, 31]), early=0.5)
  np.testing.assert_allclose(times, [0.125, 0.575, 0.625, 1.625])


def test_lengths_are_mostly_those_of_full_packets_and_acknowledgements(simulated):
  usual = [c.mtu for c in CLIENTS] + [c.header + ACK_BYTES for c in CLIENTS]
  assert 0.8 < np.mean(np.isin(simulated.packets.lengths, usual)) < 0.95


def test_acknowledgements_answer_as_many_packets_as_the_client_says(whole_flows):
  packets = whole_flows.packets
  for client in CLIENTS:
    rows = packets.lengths[:, 0] == client.mtu
    directions = packets.directions[rows]
    run = np.zeros(len(directions), int)
    longest = 0
    for column in directions.T:
      run = np.where(column == -1, run + 1, 0)
      longest = max(longest, run.max())
    assert longest == client.ack_every


def test_classes_are_as_common_as_in_the_quic_dataset():
  flows = simulate(num_flows=20_000, max_packets=1)
  weights = np.array([application.weight for application in APPLICATIONS])
  shares = np.bincount(flows.classes) / len(flows)
  np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.015)


def test_class_averages_resemble_those_of_the_quic_dataset(simulated):
  durations = {
    "google-music": 3.22,
    "google-search": 10.33,
    "google-drive": 32.65,
    "youtube": 56.96,
    "google-doc": 114.59,
  }
  for name, values in by_class(simulated, simulated.durations).items():
    assert values.mean() == pytest.approx(durations[name], rel=0.1)
  bandwidths = {
    "google-doc": 6.96e3,
    "google-search": 46.7e3,
    "youtube": 341e3,
    "google-drive": 915e3,
    "google-music": 5028e3,
  }
  rates = simulated.num_bytes / simulated.durations
  for name, values in by_class(simulated, rates).items():
    assert values.mean() == pytest.approx(bandwidths[name], rel=0.1)


def test_ten_labels_of_the_first_packets_tell_the_classes_only_roughly(simulated):
  packets = simulated.packets
  signed = (packets.directions * packets.lengths)[:, :10]
  labelled = np.concatenate(
    [np.flatnonzero(simulated.classes == c)[:10] for c in range(len(APPLICATIONS))]
  )
  others = np.setdiff1d(np.arange(len(simulated)), labelled)
  distances = np.abs(signed[others, None] - signed[labelled]).sum(axis=-1)
  nearest = labelled[distances.argmin(axis=1)]
  accuracy = np.mean(simulated.classes[nearest] == simulated.classes[others])
  assert 0.55 < accuracy < 0.85


@pytest.mark.parametrize(
  ("sizes", "message"),
  [
    ({"num_flows": 0}, "num_flows is 0, but must be at least 1"),
    ({"max_packets": -1}, "max_packets is -1, but must be at least 1"),
    ({"seed": -5}, "seed is -5, but must be at least 0"),
  ],
)
def test_sizes_that_cannot_be_are_named(sizes, message):
  with pytest.raises(InputError, match=message):
    simulate(**sizes)
