"""Tests of `mtl_traffic.data.captures.assembly`, by hand and against a plain loop."""

import dataclasses
import io
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mtl_traffic.data.captures import Accounts, assembly, five_tuples
from mtl_traffic.data.captures.assembly import FlowAssembler, Rules
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.errors import InputError
from mtl_traffic.flows import validate
from tests.data import capture_files as files
from tests.data.capture_files import ACK, FIN, PSH, RST, SYN

CLIENT, SERVER = ("10.0.0.9", 1000), ("10.0.0.2", 80)


def there(flags=None, payload=0):
  """A packet of the client."""
  return files.ip_packet(*CLIENT, *SERVER, flags, payload)


def back(flags=None, payload=0):
  """A packet of the server."""
  return files.ip_packet(*SERVER, *CLIENT, flags, payload)


def assemble(*timed, rules=assembly.DEFAULT_RULES, chunk_bytes=1 << 16):
  """The flows of (seconds, packet)."""
  content = files.pcap([(round(t * files.SECOND), p) for t, p in timed], nano=True)
  return files.flows_of(content, rules, chunk_bytes)


def outline(flows):
  """What most tests look at."""
  return [(flow["num_packets"], flow["reason"]) for flow in flows]


HANDSHAKE = [(0.0, there(SYN)), (0.1, back(SYN | ACK)), (0.2, there(ACK))]
CLOSE = [
  (1.0, there(FIN | ACK)),
  (1.1, back(ACK)),
  (1.2, back(FIN | ACK)),
  (1.3, there(ACK)),
]


def test_tcp_flow_with_all_its_values():
  flows, _ = assemble(*HANDSHAKE, (0.5, back(PSH | ACK, 100)), *CLOSE)
  assert flows == [
    {
      "first": 1,
      "client": CLIENT,
      "server": SERVER,
      "protocol": 6,
      "reason": "FIN",
      "start": 0,
      "num_packets": 8,
      "num_bytes": 8 * 40 + 100,
      "duration": 1.3,
      "times": [0, 0.1, 0.2, 0.5, 1.0, 1.1, 1.2, 1.3],
      "lengths": [40, 40, 40, 140, 40, 40, 40, 40],
      "directions": [1, -1, 1, -1, 1, -1, -1, 1],
    }
  ]


def test_new_syn_after_the_end_begins_a_new_flow():
  again = [(t + 2, packet) for t, packet in [*HANDSHAKE, *CLOSE]]
  flows, _ = assemble(*HANDSHAKE, *CLOSE, *again)
  assert outline(flows) == [(7, "FIN"), (7, "FIN")]


def test_syn_that_is_sent_again_begins_no_new_flow():
  flows, _ = assemble((0, there(SYN)), *HANDSHAKE, *CLOSE)
  assert outline(flows) == [(8, "FIN")]


def test_syn_with_ack_after_the_end_begins_no_new_flow():
  flows, _ = assemble((0, there(SYN)), (1, there(RST)), (1.1, back(SYN | ACK)))
  assert outline(flows) == [(3, "RST")]


def test_rst_ends_a_flow_only_if_asked_for():
  packets = [*HANDSHAKE, (1, back(RST)), (2, there(SYN)), (3, there(FIN))]
  flows, _ = assemble(*packets)
  assert outline(flows) == [(4, "RST"), (2, "FIN")]
  flows, _ = assemble(*packets, rules=Rules(rst_ends=False))
  assert outline(flows) == [(6, "FIN")]


def test_first_of_fin_and_rst_is_the_reason():
  flows, _ = assemble(*HANDSHAKE, *CLOSE, (1.4, back(RST)))
  assert outline(flows) == [(8, "FIN")]


def test_packets_after_a_half_close_belong_to_the_flow():
  flows, _ = assemble(
    (0, there(SYN)), (1, there(FIN)), (14, back(ACK, 9)), (28, back(FIN))
  )
  assert outline(flows) == [(4, "FIN")]


def test_closed_flow_ends_by_silence_with_its_own_reason():
  flows, _ = assemble(*HANDSHAKE, *CLOSE, (16.4, there(ACK)))
  assert outline(flows) == [(7, "FIN"), (1, "END_OF_CAPTURE")]


def test_udp_flow_ends_after_15_s_of_silence():
  flows, _ = assemble((0, there()), (15, back()), (30.001, there()), (40, back()))
  assert outline(flows) == [(2, "IDLE"), (2, "END_OF_CAPTURE")]
  assert [flow["duration"] for flow in flows] == [15, pytest.approx(9.999)]


def test_tcp_flow_does_not_end_by_silence_unless_asked_for():
  packets = [(0, there(SYN)), (1000, back(ACK)), (1061, there(ACK))]
  assert outline(assemble(*packets)[0]) == [(3, "END_OF_CAPTURE")]
  flows, _ = assemble(*packets, rules=Rules(tcp_idle_s=60))
  assert outline(flows) == [(1, "IDLE"), (1, "IDLE"), (1, "END_OF_CAPTURE")]


def test_active_time_out_splits_tcp_but_not_udp():
  rules = Rules(tcp_active_s=25, udp_silence_s=1000)
  times = (0, 10, 20, 30, 40, 50, 60)
  flows, _ = assemble(*[(t, there(ACK)) for t in times], rules=rules)
  assert outline(flows) == [(3, "ACTIVE"), (3, "ACTIVE"), (1, "END_OF_CAPTURE")]
  flows, _ = assemble(*[(t, there()) for t in times], rules=rules)
  assert outline(flows) == [(7, "END_OF_CAPTURE")]


def test_forward_is_from_the_sender_of_the_syn():
  answer = files.ip_packet(*SERVER, *CLIENT, SYN | ACK, acknowledged=8)
  syn = files.ip_packet(*CLIENT, *SERVER, SYN, sequence=7)
  flows, _ = assemble((0, answer), (1, syn), (2, back(ACK)))
  assert flows[0]["client"] == CLIENT and flows[0]["directions"] == [-1, 1, -1]
  flows, _ = assemble((0, back(SYN | ACK)), (1, there(ACK)))
  assert flows[0]["client"] == CLIENT and flows[0]["directions"] == [-1, 1]


def test_forward_is_else_from_the_first_sender():
  flows, _ = assemble((0, back(ACK)), (1, there(ACK)))
  assert flows[0]["client"] == SERVER and flows[0]["directions"] == [1, -1]


@pytest.mark.parametrize("chunk_bytes", [60, 1 << 16])
def test_forward_stays_when_a_time_out_splits_a_flow(chunk_bytes):
  packets = [(0, there()), (100, back()), (200, back()), (201, there())]
  flows, _ = assemble(*packets, chunk_bytes=chunk_bytes)
  assert [flow["client"] for flow in flows] == [CLIENT] * 3
  assert [flow["directions"] for flow in flows] == [[1], [-1], [-1, 1]]


def test_a_syn_overrules_the_client_of_the_flow_before():
  flows, _ = assemble((0, there(SYN)), (1, there(RST)), (2, back(SYN)))
  assert [flow["client"] for flow in flows] == [CLIENT, SERVER]


def test_endpoints_that_are_the_same_are_one_flow():
  packet = files.ip_packet("10.0.0.1", 7, "10.0.0.1", 7)
  flows, _ = assemble((0, packet), (1, packet))
  assert outline(flows) == [(2, "END_OF_CAPTURE")]
  assert flows[0]["directions"] == [1, 1]


def test_only_the_first_packets_are_kept_but_all_are_counted():
  packets = [(t, there(payload=t)) for t in range(10)]
  flows, _ = assemble(*packets, rules=Rules(max_packets=3), chunk_bytes=128)
  (flow,) = flows
  assert flow["lengths"] == [28, 29, 30] and flow["times"] == [0, 1, 2]
  assert (flow["num_packets"], flow["duration"]) == (10, 9)
  assert flow["num_bytes"] == 10 * 28 + sum(range(10))


def test_late_packets_are_sorted_and_counted():
  flows, accounts = assemble(
    (0, there()), (3, there(payload=3)), (1, back()), (4, back())
  )
  assert flows[0]["times"] == [0, 1, 3, 4]
  assert flows[0]["lengths"] == [28, 28, 31, 28]
  assert (accounts.num_reordered, accounts.num_late) == (1, 0)


def test_a_time_out_does_not_wait_for_the_flows_next_packet():
  other = files.ip_packet("10.0.0.7", 1, "10.0.0.8", 2)
  content = files.pcap(
    [(t * files.SECOND, p) for t, p in ((0, there()), (14, other), (16, other))]
  )
  accounts = Accounts()
  assembler = FlowAssembler("capture", accounts, Rules(reorder_s=0))
  decoder, ended = Decoder(accounts), []
  for raw in read_packets(io.BytesIO(content), "capture", accounts, chunk_bytes=64):
    assembler.add(decoder.decode(raw))
    ended += [name for flows in assembler.ended(wait=False) for name in flows.flows.ids]
  assert ended == ["capture#1"]


def test_flows_that_reach_a_number_of_packets():
  packets = [(t, there()) for t in range(5)] + [(9, files.ip_packet("10.0.0.7"))]
  content = files.pcap([(t * files.SECOND, p) for t, p in packets])
  accounts = Accounts()
  assembler = FlowAssembler("capture", accounts, Rules(reorder_s=0))
  decoder, seen = Decoder(accounts), []
  for raw in read_packets(io.BytesIO(content), "capture", accounts, chunk_bytes=44):
    assembler.add(decoder.decode(raw))
    for captured in assembler.reaching(3):
      seen.append((int(raw.numbers[-1]), files.as_dicts(captured)))
    list(assembler.ended())
  ((number, (flow,)),) = seen
  assert number == 3
  assert (flow["reason"], flow["times"]) == ("OPEN", [0, 1, 2])


def test_too_many_open_flows_end_the_silent_ones():
  packets = [(i, files.ip_packet(source_port=i + 1, flags=ACK)) for i in range(100)]
  content = files.pcap([(t * files.SECOND, p) for t, p in packets])
  flows, _ = files.flows_of(content, Rules(max_open_flows=10), chunk_bytes=56 * 5)
  reasons = [flow["reason"] for flow in flows]
  assert reasons.index("END_OF_CAPTURE") >= 90
  assert set(reasons[:90]) == {"EVICTED"}
  assert [flow["first"] for flow in flows] == list(range(1, 101))


def test_five_tuples_of_one_hash_stay_apart(monkeypatch):
  monkeypatch.setattr(
    five_tuples, "hashes", lambda keys: np.zeros(len(keys), np.uint64)
  )
  packets = [(i, files.ip_packet(source_port=1 + i % 3)) for i in range(9)]
  flows, _ = assemble(*packets)
  assert [flow["num_packets"] for flow in flows] == [3, 3, 3]
  assert [flow["first"] for flow in flows] == [1, 2, 3]


@pytest.mark.parametrize("field", ["max_packets", "udp_silence_s", "tcp_active_s"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_rules_that_cannot_be_raise(field, value):
  with pytest.raises(InputError, match=field):
    Rules(**{field: value})


def test_many_flows_come_sound_and_in_order():
  rng = np.random.default_rng(0)
  packets = [
    (i * 10**5, files.ip_packet(source_port=int(port), payload=int(port) % 9))
    for i, port in enumerate(rng.integers(1, 6000, 20_000))
  ]
  accounts = Accounts()
  assembler, decoder = FlowAssembler("capture", accounts), Decoder(accounts)
  content = io.BytesIO(files.pcap(packets, nano=True))
  ids = []
  for raw in read_packets(content, "capture", accounts, chunk_bytes=1 << 16):
    assembler.add(decoder.decode(raw))
  for captured in assembler.finish():
    validate(captured.flows)
    ids += [int(name.partition("#")[2]) for name in captured.flows.ids]
  assert ids == sorted(ids) and len(ids) == len({p for _, p in packets}) > 4096


@dataclasses.dataclass
class PlainFlow:
  """A flow as the loop below keeps it."""

  first: int
  client: tuple
  begun: int
  last: int
  is_tcp: bool
  awaits: object = None
  saw_syn: bool = False
  closed: str = ""
  packets: list = dataclasses.field(default_factory=list)


def plain_flows(packets, rules):
  """The rules, spelled out packet by packet."""
  second = files.SECOND
  open_flows, clients, syns, ended, clock = {}, {}, {}, [], 0

  def limits(flow):
    silence = math.inf if rules.tcp_idle_s is None else rules.tcp_idle_s
    if not flow.is_tcp:
      silence = rules.udp_silence_s
    elif flow.closed:
      silence = min(silence, rules.close_s)
    active = math.inf
    if flow.is_tcp and not flow.closed and rules.tcp_active_s:
      active = rules.tcp_active_s
    return flow.last + silence * second, flow.begun + active * second

  def end(key, reason):
    flow = open_flows.pop(key)
    clients[key] = flow.client
    ended.append((flow, flow.closed or reason))

  def is_syn(packet):
    return packet[4] is not None and packet[4] & (SYN | ACK | RST) == SYN

  numbered = [(number, *packet) for number, packet in enumerate(packets, 1)]
  in_order = sorted(numbered, key=lambda packet: (packet[1], not is_syn(packet)))
  for packet in in_order:
    number, time, source, target, flags, sequence, acknowledged = packet
    clock = max(clock, time)
    for key, flow in list(open_flows.items()):
      silent, active = limits(flow)
      if min(silent, active) < clock:
        end(key, "IDLE" if silent <= active else "ACTIVE")
    is_tcp = flags is not None
    key = (frozenset((source, target)), is_tcp)
    awaits = None
    if is_syn(packet):
      mark, awaits = (source, sequence), "SYN"
      if key in open_flows:
        flow, last = open_flows[key], syns.get(key)
        if last is None:
          goes_on = flow.awaits == mark
        elif last[0] == source:
          goes_on = last == mark
        else:
          goes_on = flow.awaits == "SYN"
        if flow.closed or not goes_on:
          end(key, "NEW_CONNECTION")
      syns[key] = mark
    elif is_tcp and flags & ACK:
      awaits = (target, acknowledged - 1)
    flags = flags or 0
    flow = open_flows.get(key)
    if flow is None:
      flow = PlainFlow(number, clients.get(key, source), clock, clock, is_tcp)
      open_flows[key] = flow
    if flags & SYN and not flags & RST and not flow.saw_syn:
      flow.saw_syn = True
      flow.client = target if flags & ACK else source
    if not flow.closed and flags & FIN:
      flow.closed = "FIN"
    elif not flow.closed and flags & RST and rules.rst_ends:
      flow.closed = "RST"
    flow.last, flow.awaits = clock, awaits
    flow.packets.append((time, source))
  for key in list(open_flows):
    end(key, "END_OF_CAPTURE")
  return sorted(ended, key=lambda pair: pair[0].first)


HOSTS = [("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3)]
FLAGS = [None, None, 0, ACK, SYN, SYN | ACK, FIN | ACK, RST, FIN, SYN | FIN, SYN | RST]
STEPS = [0, 1, 1, 1, 2, 5, 14, 15, 16, 31, -1, -20]


@settings(max_examples=300, deadline=None)
@given(
  packets=st.lists(
    st.tuples(
      st.sampled_from(STEPS),
      st.permutations(HOSTS),
      st.sampled_from(FLAGS),
      st.integers(7, 8),  # Sequence number,
      st.integers(8, 9),  # and what is acknowledged.
    ),
    min_size=1,
    max_size=60,
  ),
  chunk_bytes=st.sampled_from([64, 200, 1000, 1 << 16]),
  tcp_idle_s=st.sampled_from([None, 10.0, 20.0]),
  tcp_active_s=st.sampled_from([None, 3.0, 18.0]),
  rst_ends=st.booleans(),
)  # fmt: skip
def test_equals_the_plain_loop_however_packets_are_batched(
  packets, chunk_bytes, tcp_idle_s, tcp_active_s, rst_ends
):
  rules = Rules(tcp_idle_s=tcp_idle_s, tcp_active_s=tcp_active_s, rst_ends=rst_ends)
  time, timed = 1000, []
  for step, (source, target, _), *fields in packets:
    time = max(time + step, 0)
    timed.append((time * files.SECOND, source, target, *fields))
  latest = np.maximum.accumulate([time for time, *_ in timed])
  assume(all(latest - [time for time, *_ in timed] < 60 * files.SECOND))
  content = files.pcap(
    [(t, files.ip_packet(*s, *d, f, 0, seq, ack)) for t, s, d, f, seq, ack in timed]
  )
  flows, _ = files.flows_of(content, rules, chunk_bytes)
  expected = plain_flows(timed, rules)
  assert outline(flows) == [(len(flow.packets), reason) for flow, reason in expected]
  for got, (flow, _) in zip(flows, expected, strict=True):
    assert got["first"] == flow.first
    assert got["client"] == flow.client
    ordered = sorted(flow.packets, key=lambda packet: packet[0])
    begin = ordered[0][0]
    assert got["times"] == [(t - begin) / files.SECOND for t, _ in ordered]
    assert got["directions"] == [1 if s == flow.client else -1 for _, s in ordered]


def test_packets_that_were_seen_are_forgotten_but_counted():
  packets = [(t, there()) for t in range(5)] + [(5, files.ip_packet("10.0.0.7"))]
  content = files.pcap([(t * files.SECOND, p) for t, p in packets])
  accounts = Accounts()
  assembler = FlowAssembler("capture", accounts, Rules(reorder_s=0))
  decoder = Decoder(accounts)
  for raw in read_packets(io.BytesIO(content), "capture", accounts, chunk_bytes=44):
    assembler.add(decoder.decode(raw))
    assembler.forget_packets(3)
  flows = [flow for captured in assembler.finish() for flow in files.as_dicts(captured)]
  assert [flow["num_packets"] for flow in flows] == [5, 1]
  assert [flow["duration"] for flow in flows] == [4, 0]
  assert [len(flow["times"]) for flow in flows] == [0, 1]  # Nor are later ones kept.


def test_time_without_packets_ends_flows():
  content = files.pcap([(0, there())])
  accounts = Accounts()
  assembler, decoder = FlowAssembler("capture", accounts), Decoder(accounts)
  for raw in read_packets(io.BytesIO(content), "capture", accounts):
    assembler.add(decoder.decode(raw))
  assembler.advance(15 * files.SECOND)
  assert not list(assembler.ended(wait=False))
  # All flows are looked at ten times a second.
  assembler.advance(15 * files.SECOND + files.SECOND // 10)
  ((flow,),) = map(files.as_dicts, assembler.ended(wait=False))
  assert flow["reason"] == "IDLE"


def test_a_silence_just_before_the_end_of_the_capture_ends_a_flow():
  late = files.ip_packet("10.0.0.7")
  end = 15 * files.SECOND
  times = [0, end - files.SECOND // 100, end + files.SECOND // 100]
  content = files.pcap(list(zip(times, [there(), late, late], strict=True)))
  for chunk_bytes in (44, 4096):
    flows, _ = files.flows_of(content, Rules(reorder_s=0), chunk_bytes)
    assert [flow["reason"] for flow in flows] == ["IDLE", "END_OF_CAPTURE"]
