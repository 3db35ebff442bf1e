"""Tests of `mtl_traffic.data.captures.ordering`: late packets and wrong clocks."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_traffic.data.captures.assembly import DEFAULT_RULES, Rules
from tests.data import capture_files as files
from tests.data.capture_files import ACK, FIN, PSH, RST, SYN

CLIENT, SERVER = ("10.0.0.9", 1000), ("10.0.0.2", 53)
START = 1_700_000_000
DAY, YEAR = 86_400, 31_557_600


def there(flags=None, payload=0, **numbers):
  return files.ip_packet(*CLIENT, *SERVER, flags, payload, **numbers)


def back(flags=None, payload=0, **numbers):
  return files.ip_packet(*SERVER, *CLIENT, flags, payload, **numbers)


def capture(*timed):
  """A capture of (seconds, packet), in this order."""
  return files.pcap(
    [((START * 10**6 + round(t * 1e6)) * 1000, packet) for t, packet in timed]
  )


def assemble(*timed, rules=DEFAULT_RULES, chunk_bytes=1 << 16):
  return files.flows_of(capture(*timed), rules, chunk_bytes)


def outline(flows):
  return [(flow["client"], flow["directions"], flow["reason"]) for flow in flows]


@pytest.mark.parametrize("chunk_bytes", [60, 1 << 16])
@pytest.mark.parametrize("later", [0, 10e-6])
def test_a_rst_before_the_syn_that_caused_it(chunk_bytes, later):
  rst = back(RST | ACK, sequence=0, acknowledged=8)
  flows, accounts = assemble(
    *((later, rst), (0, there(SYN, sequence=7))),
    *((1 + later, rst), (1, there(SYN, sequence=7))),
    chunk_bytes=chunk_bytes,
  )
  assert outline(flows) == [(CLIENT, [1, -1], "RST")] * 2
  assert [flow["first"] for flow in flows] == [2, 4]
  assert accounts.num_reordered == (2 if later else 0)


def test_a_syn_behind_the_servers_half():
  flows, _ = assemble(
    (0.02, back(SYN | ACK, sequence=90, acknowledged=8)),
    (0.04, back(PSH | ACK, 500, sequence=91, acknowledged=20)),
    (0.01, there(SYN, sequence=7)),
    (0.03, there(PSH | ACK, 12, sequence=8, acknowledged=91)),
  )
  assert outline(flows) == [(CLIENT, [1, -1, 1, -1], "END_OF_CAPTURE")]
  assert flows[0]["lengths"] == [40, 40, 52, 540]


def test_an_answer_recorded_before_its_query():
  flows, _ = assemble((0.02, back()), (0.01, there()), (0.05, there()), (0.07, back()))
  assert outline(flows) == [(CLIENT, [1, -1, 1, -1], "END_OF_CAPTURE")]


def test_packets_that_come_too_late_are_counted_and_stay_in_their_flow():
  rules = Rules(reorder_s=0.5)
  flows, accounts = assemble(
    *((0, there()), (3, there(payload=3)), (2, back()), (2.9, back()), (4, back())),
    rules=rules,
    chunk_bytes=44,
  )
  assert (accounts.num_late, accounts.num_reordered) == (1, 1)
  # They are sorted all the same, as all of them are kept.
  assert flows[0]["times"] == pytest.approx([0, 2, 2.9, 3, 4])
  assert flows[0]["num_packets"] == 5


def test_a_late_syn_belongs_to_what_is_there():
  rules = Rules(reorder_s=0)
  flows, accounts = assemble(
    (0.02, back(RST | ACK, acknowledged=8)), (0, there(SYN, sequence=7)), rules=rules
  )
  assert outline(flows) == [(CLIENT, [1, -1], "RST")]
  assert accounts.num_late == 1


def query(time):
  return [(time, there()), (time + 0.02, back())]


@pytest.mark.parametrize("chunk_bytes", [60, 1 << 16])
def test_one_stamp_in_the_future_disables_no_time_out(chunk_bytes):
  other = files.ip_packet("10.0.0.7", 5, "10.0.0.8", 6)
  flows, accounts = assemble(
    *query(0),
    (10 * YEAR, other),
    *(packet for time in (100, 200, 300) for packet in query(time)),
    chunk_bytes=chunk_bytes,
  )
  udp = [flow for flow in flows if flow["client"] == CLIENT]
  assert [flow["duration"] for flow in udp] == pytest.approx([0.02] * 4)
  assert [flow["directions"] for flow in udp] == [[1, -1]] * 4
  (notice,) = accounts.notices
  assert "capture: packet 3 is stamped 20" in notice and "10.0 years after" in notice
  assert accounts.num_wrong_times == 1


def test_a_wild_stamp_cuts_no_flow():
  times = [i / 10 for i in range(20)]
  timed = [(t, there(payload=i)) for i, t in enumerate(times)]
  timed[7] = (-3 * DAY, timed[7][1])
  flows, accounts = assemble(*timed)
  (flow,) = flows
  assert flow["duration"] == pytest.approx(1.9)
  assert flow["lengths"] == [28 + i for i in range(20)]
  assert accounts.num_wrong_times == 1 and len(accounts.notices) == 1


@pytest.mark.parametrize("chunk_bytes", [60, 1 << 16])
def test_a_clock_that_is_set_back_disables_no_time_out(chunk_bytes):
  timed = [packet for time in (0, 100, 200) for packet in query(time + 5000)]
  timed += [packet for time in (0, 100, 200) for packet in query(time)]
  flows, accounts = assemble(*timed, chunk_bytes=chunk_bytes)
  assert [flow["duration"] for flow in flows] == pytest.approx([0.02] * 6)
  assert [flow["reason"] for flow in flows] == ["IDLE"] * 5 + ["END_OF_CAPTURE"]
  (notice,) = accounts.notices
  assert "packet 7 is stamped" in notice and "1.4 hours before" in notice


def test_a_clock_that_is_set_back_ends_what_was_silent():
  other = files.ip_packet("10.0.0.7", 5, "10.0.0.8", 6)
  flows, _ = assemble(*query(5000), *[(i * 10, other) for i in range(9)])
  assert [flow["reason"] for flow in flows] == ["IDLE", "END_OF_CAPTURE"]


def test_two_halves_in_the_wrong_order_are_one_connection():
  flows, accounts = assemble(
    *[(300 + i, back(PSH | ACK, sequence=91 + i)) for i in range(3)],
    (0, there(SYN, sequence=7)),
    (1, back(SYN | ACK, sequence=90, acknowledged=8)),
  )
  assert outline(flows) == [(CLIENT, [1, -1, -1, -1, -1], "END_OF_CAPTURE")]
  assert len(accounts.notices) == 1


def test_a_jump_is_told_once():
  timed = [(i % 2 * -9000, there(payload=i)) for i in range(10)]
  _, accounts = assemble(*timed)
  assert len(accounts.notices) == 1 and accounts.num_jumps > 1


def test_a_long_silence_is_no_wrong_clock():
  flows, accounts = assemble(*query(0), *query(7000), *query(7010))
  assert [flow["num_packets"] for flow in flows] == [2, 4]
  assert not accounts.notices and not accounts.num_wrong_times


def connection(begin, sequence):
  return [
    (begin, there(SYN, sequence=sequence)),
    (begin + 0.1, back(SYN | ACK, acknowledged=sequence + 1)),
    (begin + 0.2, there(ACK, sequence=sequence + 1)),
  ]


@pytest.mark.parametrize("chunk_bytes", [60, 1 << 16])
@pytest.mark.parametrize("gap", [1, 3600])
def test_a_syn_of_another_number_begins_a_new_connection(chunk_bytes, gap):
  timed = [*connection(0, 7), *connection(gap, 99)]
  flows, _ = assemble(*timed, chunk_bytes=chunk_bytes)
  assert [(flow["num_packets"], flow["reason"]) for flow in flows] == [
    (3, "NEW_CONNECTION"),
    (3, "END_OF_CAPTURE"),
  ]


@pytest.mark.parametrize("chunk_bytes", [60, 1 << 16])
def test_a_syn_sent_again_begins_no_new_connection(chunk_bytes):
  again = [(t, there(SYN, sequence=7)) for t in (1, 3, 7, 15, 31, 63)]
  flows, _ = assemble(
    (0, there(SYN, sequence=7)), *again, *connection(100, 7), chunk_bytes=chunk_bytes
  )
  assert [flow["num_packets"] for flow in flows] == [10]


def test_a_connection_whose_syn_was_not_seen_ends_with_the_next_syn():
  old = [(0, there(ACK, sequence=70)), (1, back(ACK, acknowledged=80))]
  flows, _ = assemble(*old, *connection(2, 500))
  assert [flow["num_packets"] for flow in flows] == [2, 3]


def test_both_sides_may_ask_at_once():
  flows, _ = assemble(
    (0, there(SYN, sequence=7)), (0.1, back(SYN, sequence=90)), (0.2, there(ACK))
  )
  assert [flow["num_packets"] for flow in flows] == [3]


HOSTS = [("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3)]
STEPS = [0, 0, 1, 1, 2, 10, 16, -1, -20, 70, -70, 4000, -4000, 90_000, -90_000]


@settings(max_examples=200, deadline=None)
@given(
  packets=st.lists(
    st.tuples(
      st.sampled_from(STEPS),
      st.permutations(HOSTS),
      st.sampled_from([None, ACK, SYN, SYN | ACK, FIN, RST]),
      st.integers(7, 8),
    ),
    min_size=1,
    max_size=60,
  ),
  chunk_bytes=st.sampled_from([64, 200, 1000]),
  reorder_s=st.sampled_from([0, 0.5, 5.0, 60.0]),
  tcp_idle_s=st.sampled_from([None, 10.0]),
)
def test_flows_do_not_depend_on_batches_whatever_the_clock_does(
  packets, chunk_bytes, reorder_s, tcp_idle_s
):
  rules = Rules(reorder_s=reorder_s, tcp_idle_s=tcp_idle_s)
  time, timed = 10**6, []
  for step, (source, target, _), flags, number in packets:
    time = max(time + step, 0)
    packet = files.ip_packet(*source, *target, flags, 0, number, number)
    timed.append((time * files.SECOND, packet))
  content = files.pcap(timed)
  whole, accounts = files.flows_of(content, rules)
  parts, of_parts = files.flows_of(content, rules, chunk_bytes)
  assert parts == whole
  assert dataclasses.asdict(of_parts) == dataclasses.asdict(accounts)
