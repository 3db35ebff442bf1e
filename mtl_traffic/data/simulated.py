"""Simulates flows of five applications over QUIC from a seed, without a download.

A flow is first drawn as a plan of rounds: a handshake, a few rounds that set the
application up, then the rounds that carry its content. In a round the client requests
an object, the server sends it, and the client pauses. The totals of a flow are sums
over its whole plan. Its packets are those of the first rounds, as seen on the wire. A
model can learn about the whole flow what its first packets show of the plan.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, Packets, map_arrays


class Client(NamedTuple):
  """Properties of a client's software, the same for all its flows."""

  mtu: int  # Bytes of a full packet.
  header: int  # Bytes of headers in every packet.
  ack_every: int  # Packets that one acknowledgement answers.


class Phase(NamedTuple):
  """Rounds of one kind: medians over flows, and how much objects differ."""

  rounds: float
  request_bytes: float
  object_bytes: float
  object_spread: float  # Standard deviation of the logarithm within a flow.
  pause_s: float


class Application(NamedTuple):
  """A traffic class: how common it is, how fast its servers send, what they send."""

  name: str
  weight: int
  bytes_per_s: float
  content: Phase


CLIENTS = (
  Client(1412, 74, 2),
  Client(1392, 67, 4),
  Client(1294, 62, 2),
  Client(1434, 70, 2),
  Client(1350, 64, 3),
)
# Every application begins alike, so that no single packet reveals it.
HANDSHAKE = Phase(1, 1300, 2e3, 0.5, 0.001)
SETUP = Phase(2.5, 420, 2.5e3, 1.0, 0.1)
# The weights are the class sizes of the QUIC dataset; the rest is chosen to come near
# its class averages of duration and bandwidth.
APPLICATIONS = (
  Application("google-doc", 1221, 1.5e6, Phase(58, 500, 5.2e3, 1.2, 1.7)),
  Application("google-drive", 1634, 1.2e6, Phase(10.4, 400, 2.2e6, 0.6, 0.6)),
  Application("google-music", 592, 9e6, Phase(7, 500, 1.8e6, 0.5, 0.05)),
  Application("google-search", 1915, 1.5e6, Phase(34, 400, 5.7e3, 1.2, 0.22)),
  Application("youtube", 1077, 3e6, Phase(22, 600, 6.6e5, 0.6, 2.0)),
)

# Standard deviations of logarithms: between the flows of an application ...
FLOW_SPREAD = Phase(
  rounds=0.1, request_bytes=0.1, object_bytes=0.12, object_spread=0, pause_s=0.1
)
RTT_SPREAD = 0.6
RATE_SPREAD = 0.25
# ... and between the rounds of a flow.
ROUND_REQUEST_SPREAD = 0.2
ROUND_PAUSE_SPREAD = 0.5
ROUND_RTT_SPREAD = 0.15

MEDIAN_RTT_S = 0.03
ACK_BYTES = 28  # Payload of an acknowledgement.
INITIAL_WINDOW = 10  # Packets (RFC 9002, section 7.2).
MAX_ROUNDS = 96
BATCH = 1024  # Flows drawn together; their arrays fit the processor's cache.

# Each application has its own set-up for each kind of client, the same for all seeds:
# log bytes of requests and objects by round, in standard deviations from the median.
_PAGES = np.random.default_rng(0).standard_normal(
  (2, len(APPLICATIONS), len(CLIENTS), MAX_ROUNDS)
)


def simulate(seed: int = 0, num_flows: int = 2800, max_packets: int = 120) -> Flows:
  """Simulates flows. Flow i does not depend on `num_flows` and `max_packets`.

  Args:
    seed: at least 0.
    num_flows: how many flows.
    max_packets: how many packets of each flow to keep.

  Returns:
    The flows, all in one partition. They are drawn in batches; besides the result,
    memory does not grow with `num_flows`.

  Raises:
    InputError: a size is below 1, or the seed is below 0.
  """
  for name, value, lowest in (
    ("seed", seed, 0),
    ("num_flows", num_flows, 1),
    ("max_packets", max_packets, 1),
  ):
    if value < lowest:
      raise InputError(f"simulated: {name} is {value}, but must be at least {lowest}")
  flows = None
  for start in tqdm(range(0, num_flows, BATCH), "Simulating", unit="batch", delay=3):
    batch = _draw_flows(np.random.default_rng([seed, start // BATCH]), max_packets)
    if flows is None:
      flows = map_arrays(
        lambda leaf: np.empty((num_flows, *leaf.shape[1:]), leaf.dtype), batch
      )
    rows = slice(start, min(start + BATCH, num_flows))
    map_arrays(functools.partial(_put, rows), flows, batch)
  return flows.replace(ids=np.char.add("simulated-", np.arange(num_flows).astype(str)))


def _put(rows: slice, whole: np.ndarray, part: np.ndarray) -> None:
  whole[rows] = part[: rows.stop - rows.start]


@dataclasses.dataclass(frozen=True)
class _Plan:
  """The plans of F flows. Singular fields are `[F, 1]`, plural ones `[F, MAX_ROUNDS]`.

  In rounds that a flow does not have, requests and objects have 0 bytes.
  """

  payload: np.ndarray  # Bytes of payload in a full packet.
  header: np.ndarray  # Bytes.
  ack_every: np.ndarray
  packet_s: np.ndarray  # Seconds that a full packet takes at the server's rate.
  rtts: np.ndarray  # s
  pauses: np.ndarray  # s
  requests: np.ndarray  # Bytes without headers.
  objects: np.ndarray  # Bytes without headers.

  @functools.cached_property
  def request_packets(self) -> np.ndarray:
    return -(-self.requests // self.payload)

  @functools.cached_property
  def object_packets(self) -> np.ndarray:
    return -(-self.objects // self.payload)

  @functools.cached_property
  def acks(self) -> np.ndarray:
    return -(-self.object_packets // self.ack_every)

  @functools.cached_property
  def packets(self) -> np.ndarray:
    return self.request_packets + self.object_packets + self.acks

  @functools.cached_property
  def transfers(self) -> np.ndarray:
    """Seconds from the request to the last packet of a round."""
    return arrival(self.rtts, self.packet_s, self.object_packets)

  @functools.cached_property
  def starts(self) -> np.ndarray:
    """Seconds from the start of the flow to the start of a round."""
    ends = np.cumsum(self.transfers + self.pauses, axis=1)
    return np.pad(ends[:, :-1], ((0, 0), (1, 0)))


def _draw_flows(rng: np.random.Generator, max_packets: int) -> Flows:
  weights = np.array([application.weight for application in APPLICATIONS])
  classes = rng.choice(len(APPLICATIONS), BATCH, p=weights / weights.sum())
  plan = _draw_plan(rng, classes)
  overhead = plan.acks * ACK_BYTES + plan.packets * plan.header
  ends = plan.starts + plan.transfers
  return Flows(
    packets=_first_packets(rng, plan, max_packets),
    num_packets=plan.packets.sum(axis=1),
    durations=np.max(ends, axis=1, where=plan.packets > 0, initial=0),
    num_bytes=np.sum(plan.requests + plan.objects + overhead, axis=1),
    classes=classes.astype(np.int32),
    partitions=np.zeros(BATCH, np.int32),
    ids=np.arange(BATCH),
    class_names=tuple(application.name for application in APPLICATIONS),
    partition_names=("simulated",),
  )


def _draw_plan(rng: np.random.Generator, classes: np.ndarray) -> _Plan:
  def vary(medians: np.ndarray, spreads) -> np.ndarray:
    return medians * np.exp(spreads * rng.standard_normal(medians.shape))

  clients = rng.integers(len(CLIENTS), size=BATCH)
  mtu, header, ack_every = np.array(CLIENTS)[clients].T[..., None]
  bytes_per_s = np.array([a.bytes_per_s for a in APPLICATIONS])[classes, None]
  path_rtt = vary(np.full((BATCH, 1), MEDIAN_RTT_S), RTT_SPREAD)

  phases = np.array([(HANDSHAKE, SETUP, a.content) for a in APPLICATIONS])
  of_flow = vary(phases[classes], FLOW_SPREAD)  # [F, phases, fields of a Phase]
  ends = np.cumsum(np.maximum(1, np.rint(of_flow[..., 0])), axis=1)
  index = np.arange(MAX_ROUNDS)
  phase = np.sum(index[:, None] >= ends[:, None, :-1], axis=-1)
  of_round = Phase(
    *np.moveaxis(np.take_along_axis(of_flow, phase[..., None], axis=1), -1, 0)
  )
  is_content = phase == phases.shape[1] - 1
  deviations = np.where(
    is_content, rng.standard_normal((2, *phase.shape)), _PAGES[:, classes, clients]
  )
  requests = of_round.request_bytes * np.exp(ROUND_REQUEST_SPREAD * deviations[0])
  requests[:, :1] = mtu - header  # A client pads its hello to a full packet.
  objects = of_round.object_bytes * np.exp(of_round.object_spread * deviations[1])
  there = index < ends[:, -1:]
  return _Plan(
    payload=mtu - header,
    header=header,
    ack_every=ack_every,
    packet_s=mtu / vary(bytes_per_s, RATE_SPREAD),
    rtts=vary(np.broadcast_to(path_rtt, phase.shape), ROUND_RTT_SPREAD),
    pauses=vary(of_round.pause_s, ROUND_PAUSE_SPREAD),
    requests=np.ceil(requests).astype(np.int64) * there,
    objects=np.ceil(objects).astype(np.int64) * there,
  )


def arrival(rtt, packet_s, sent, early=0) -> np.ndarray:
  """Seconds from a request to the arrival of a packet of the requested object.

  The server's window grows by slow start without losses, until its rate is the limit.

  Args:
    rtt: round-trip time in s.
    packet_s: time that a packet takes at the server's rate, in s.
    sent: number of the packet in the object, from 1; below 1 for an empty object.
    early: the fraction of `packet_s` by which the packet comes earlier.
  """
  round_trips = np.floor(np.log2(1 + np.maximum(sent - 1, 0) / INITIAL_WINDOW))
  return rtt + np.maximum(rtt * round_trips, (sent - early) * packet_s)


def _first_packets(rng: np.random.Generator, plan: _Plan, max_packets: int) -> Packets:
  firsts = np.cumsum(plan.packets, axis=1) - plan.packets
  is_first = np.zeros((BATCH, max_packets + 1), np.int64)
  np.put_along_axis(is_first, np.minimum(firsts, max_packets), 1, axis=1)
  round_of_packet = np.cumsum(is_first[:, :-1], axis=1) - 1

  def of_packet(of_round: np.ndarray) -> np.ndarray:
    return np.take_along_axis(of_round, round_of_packet, axis=1)

  position = np.arange(max_packets) - of_packet(firsts)
  answered = position - of_packet(plan.request_packets)
  is_request = answered < 0
  # The server's packets come in groups; an acknowledgement ends each group.
  group, place = np.divmod(answered, plan.ack_every + 1)
  is_ack = ~is_request & (
    (place == plan.ack_every) | (position == of_packet(plan.packets) - 1)
  )
  sent = np.minimum(
    group * plan.ack_every + np.minimum(place + 1, plan.ack_every),
    of_packet(plan.object_packets),
  )
  left = np.where(
    is_request,
    of_packet(plan.requests) - position * plan.payload,
    of_packet(plan.objects) - (sent - 1) * plan.payload,
  )
  payload = np.where(is_ack, ACK_BYTES, np.minimum(left, plan.payload))
  # Server packets come early by up to one packet's time. Times are drawn packet by
  # packet, so that the first ones do not depend on `max_packets`.
  early = np.where(is_ack, 0, rng.random((max_packets, BATCH)).T)
  since_request = np.where(
    is_request, 0, arrival(of_packet(plan.rtts), plan.packet_s, sent, early)
  )
  counts = np.minimum(plan.packets.sum(axis=1), max_packets)
  there = np.arange(max_packets) < counts[:, None]
  return Packets(
    times=(of_packet(plan.starts) + since_request) * there,
    lengths=((plan.header + payload) * there).astype(np.int32),
    directions=(np.where(is_request | is_ack, 1, -1) * there).astype(np.int8),
    counts=counts.astype(np.int32),
  )
