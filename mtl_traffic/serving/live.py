"""Answers for the flows of a capture while its packets come in."""

import contextlib
import dataclasses
import gc
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from mtl_traffic.data import captures
from mtl_traffic.data.captures import interface
from mtl_traffic.data.captures.assembly import FlowAssembler
from mtl_traffic.data.captures.captured_flows import (
  CUT_OFF,
  END_REASON_NAMES,
  PROTOCOL_NAMES,
  CapturedFlows,
  EndReason,
)
from mtl_traffic.data.captures.decoding import Decoder
from mtl_traffic.data.captures.labels import Labels
from mtl_traffic.data.captures.naming import FileNames
from mtl_traffic.data.captures.reading import NANOSECONDS, RawPackets
from mtl_traffic.data.captures.sequence import PacketSequence, Shard, Turn
from mtl_traffic.flows import Packets
from mtl_traffic.serving import answer_columns
from mtl_traffic.serving.answer_columns import of_task
from mtl_traffic.serving.answer_files import Rows
from mtl_traffic.serving.judgement import UNKNOWN, Judgement, Reason
from mtl_traffic.serving.predictor import Answers, Predictor
from mtl_traffic.serving.tally import Tally
from mtl_traffic.serving.truth import MEASURED_TASKS, measured


class Answerer(Protocol):
  """Who gives the flows of a capture their answers: this process, or several."""

  def warm_up(self) -> None:
    """Makes ready to answer at once."""

  def begin(
    self, name: str, accounts: captures.Accounts, rules: captures.Rules, live: bool
  ) -> None:
    """Begins a capture."""

  def begin_file(self, name: str, num_before: int) -> None:
    """Tells that the packets from now on, after so many, stand in another file."""

  def take(self, turn: Turn) -> None:
    """Answers for what packets bring, one piece of them at most."""

  def finish(self) -> None:
    """Answers for the flows that are left."""

  def read_interface(
    self, name: str, accounts: captures.Accounts, rules: captures.Rules
  ) -> Iterator[int]:
    """Answers for the flows of an interface, as `read`."""


def read(
  answerer: Answerer,
  batches: Iterator[RawPackets],
  name: str,
  accounts: captures.Accounts,
  rules: captures.Rules,
  live: bool = False,
  followed_by: Iterable[tuple[str, Iterator[RawPackets]]] = (),
  clock: Callable[[], int] | None = None,
) -> Iterator[int]:
  """Has the flows of one capture answered for; yields now and then.

  Args:
    answerer: who does it.
    batches: its packets; an empty batch means that time has passed without any.
      They are read with `accounts`.
    name: what to call the capture.
    accounts: where packets and flows are counted.
    rules: what makes a flow.
    live: answer for flows that have ended at once.
    followed_by: names and packets of the files on which the capture goes on.
    clock: tells the time, ns, where packets are stamped by this machine.

  Yields:
    The number of packets read so far.
  """
  decoder = Decoder(accounts, rules.payload_lengths, rules.drop_copies, rules.inner)
  names = FileNames()
  wait = round(rules.reorder_s * NANOSECONDS)
  sequence = PacketSequence(names, accounts, wait, rules.drop_copies)
  files = itertools.chain([(name, batches)], followed_by)
  for i, (file, packets) in enumerate(files):
    names.begin(file, accounts.num_packets)
    if i:
      answerer.begin_file(file, accounts.num_packets)
    else:
      answerer.begin(file, accounts, rules, live)
    for raw in packets:
      if len(raw.times):
        turn = sequence.add(decoder.decode(raw))
      else:
        turn = sequence.advance(clock()) if clock else sequence.flush()
      for each in turn.one_by_one():
        answerer.take(each)
      yield accounts.num_packets
  for each in sequence.finish().one_by_one():
    answerer.take(each)
  answerer.finish()
  yield accounts.num_packets


class Answering:
  """Gives each flow of a capture its answers, in this process."""

  def __init__(
    self,
    predictor: Predictor,
    write: Callable[[Sequence[Rows]], None],
    tally: Tally,
    *,
    points: Sequence[int],
    pause_s: float | None = None,
    threshold: float = 0.0,
    evaluate: bool = False,
    labels: Labels | None = None,
    shard: Shard | None = None,
  ):
    """Args:
    predictor: the model.
    write: takes the answers that a turn brings.
    tally: where they are counted, but for how many are written and how soon.
    points: at which packets of a flow an answer is given, ascending. A flow that ends
      before the last of them is answered when it ends.
    pause_s: also answer for a flow that is silent for longer than this before the last
      of its points, unless it has too few packets for any answer to count.
    threshold: what is less probable is unknown.
    evaluate: when a flow ends, say what its bandwidth and duration were.
    labels: give the true classes that these say.
    shard: which flows to answer for; all by default.
    """
    self._predictor, self._write, self._tally = predictor, write, tally
    self._points, self._threshold, self._evaluate = tuple(points), threshold, evaluate
    self._pause_s, self._labels, self._shard = pause_s, labels, shard
    self._fewest = max(predictor.fewest, 2)  # As a flood is of flows of one packet.
    self._given: dict[str, dict] = {}  # The answers of open flows, if they matter yet.
    self._rows: list[Rows] = []  # Of this turn.

  def warm_up(self) -> None:
    """Does what would keep the first answers waiting, and others now and then."""
    self._predictor.warm_up()
    # What is there by now stays. Looking through it for garbage again would keep
    # answers waiting for a tenth of a second.
    gc.freeze()

  def begin(
    self, name: str, accounts: captures.Accounts, rules: captures.Rules, live: bool
  ) -> None:
    """Begins a capture."""
    self._assembler = FlowAssembler(name, accounts, rules, self._pause_s, self._shard)
    self._live = live

  def begin_file(self, name: str, num_before: int) -> None:
    """Tells that the packets from now on, after so many, stand in another file."""
    self._assembler.begin_file(name, num_before)

  def take(self, turn: Turn) -> None:
    """Answers for the flows that packets bring to a point or an end."""
    assembler, last = self._assembler, self._points[-1]
    assembler.take(turn)
    pauses = {n for n in assembler.pauses if self._fewest <= n < last}
    for n in sorted(pauses.union(self._points)):
      flows = assembler.reaching if n in self._points else assembler.pausing
      for captured in flows(n):
        self._answer(captured, n)
    if self._live or turn.pieces:
      for captured in assembler.ended(wait=False):
        self._end(captured)
    assembler.forget_packets(last)
    self._hand_on()

  def finish(self) -> None:
    """Answers for the flows that are left."""
    for captured in self._assembler.end_all():
      self._end(captured)
    self._hand_on()

  def read_interface(
    self, name: str, accounts: captures.Accounts, rules: captures.Rules
  ) -> Iterator[int]:
    """Answers for the flows of an interface; yields the number of packets read.

    Raises:
      InputError: there is no such interface, or it may not be read.
    """
    (listener,) = interface.listen(name)
    yield from self.listen(listener, name, accounts, rules)

  def listen(
    self,
    listener: interface.Listener,
    name: str,
    accounts: captures.Accounts,
    rules: captures.Rules,
  ) -> Iterator[int]:
    """The same for what one listener hears, as the capture `name`."""
    with contextlib.closing(interface.read_listener(listener, accounts)) as packets:
      yield from read(
        self, packets, name, accounts, rules, live=True, clock=time.time_ns
      )

  def _hand_on(self) -> None:
    self._tally.num_open = self._assembler.num_open
    rows, self._rows = self._rows, []
    self._write(rows)

  def _answer(
    self, captured: CapturedFlows, num_packets: int | None = None, ask: bool = True
  ) -> None:
    """Answers after so many packets, or after all that there are.

    Args:
      captured: the flows.
      num_packets: how many packets to look at.
      ask: ask the model; without, the answer is unknown, of probability 0.
    """
    packets = _first(captured.flows.packets, num_packets)
    seen = packets.counts.astype(np.int64)
    answers = self._predictor(packets) if ask else self._no_answers(len(seen))
    rows = self._addresses(captured)
    last = packets.times[np.arange(len(seen)), seen - 1]
    rows["time"] = captured.start_times + np.round(last * NANOSECONDS).astype(np.int64)
    rows["packets"] = seen.tolist()
    for task in self._predictor.tasks:
      if ask:
        judged = self._predictor.judge(answers, task, seen, self._threshold)
      else:
        judged = _not_asked(len(seen))
      rows |= answer_columns.values(answers, task, judged)
    if self._labels:
      rows["true_class"] = self._true_classes(captured)
    rows["event"] = ["answer"] * len(seen)
    before = [self._given.get(flow) for flow in rows["flow"]]
    rows["revision"] = [given["revision"] + 1 if given else 1 for given in before]
    self._rows.append(rows)
    # Flows that are to be answered again are counted when that is done.
    is_last = num_packets is None or num_packets == self._points[-1]
    if is_last:
      self._tally.count(rows, self._predictor.tasks)
    if self._evaluate or not is_last:
      for i, flow in enumerate(rows["flow"]):
        self._given[flow] = {name: rows[name][i] for name in self._answered}

  def _end(self, captured: CapturedFlows) -> None:
    """Answers for the flows that ended early, and says what the flows were like."""
    num_packets = captured.flows.num_packets
    early = num_packets < self._points[-1]
    given = [self._given.get(flow) for flow in captured.flows.ids.tolist()]
    was_given = np.array(
      [
        answer is not None and answer["packets"] == count
        for answer, count in zip(given, num_packets.tolist(), strict=True)
      ]
    )
    # In a flood there are more of them than can be asked about, and nothing to be told
    # of one packet.
    pushed_out = (captured.end_reasons == EndReason.EVICTED) & (num_packets == 1)
    for ask, rows in ((True, ~pushed_out), (False, pushed_out)):
      rows = early & ~was_given & rows
      if rows.any():
        self._answer(_select(captured, rows), ask=ask)
    last = [given[i] for i in np.flatnonzero(early & was_given).tolist()]
    if last:  # Which only now they turn out to be.
      self._tally.count(
        {name: [answer[name] for answer in last] for name in self._answered},
        self._predictor.tasks,
      )
    if self._evaluate:
      self._rows.append(self._truth(captured))
    for flow in captured.flows.ids.tolist():
      self._given.pop(flow, None)

  def _no_answers(self, num_flows: int) -> Answers:
    names = self._predictor.names
    nothing = {task: np.zeros((num_flows, len(of))) for task, of in names.items()}
    return Answers(nothing, names, familiarity=0.0)

  def _true_classes(self, captured: CapturedFlows) -> list[str | None]:
    """The classes that labels give; None for a flow without."""
    labelled = self._labels.apply(captured, self._tally.labels)
    names = (*labelled.class_names, None)
    return [names[index] for index in labelled.classes.tolist()]

  def _addresses(self, captured: CapturedFlows) -> dict:
    return {
      "flow": captured.flows.ids.tolist(),
      "client_address": captured.client_addresses.tolist(),
      "client_port": captured.client_ports.tolist(),
      "server_address": captured.server_addresses.tolist(),
      "server_port": captured.server_ports.tolist(),
      "protocol": [PROTOCOL_NAMES[number] for number in captured.protocols.tolist()],
      "start_time": captured.start_times,
    }

  def _truth(self, captured: CapturedFlows) -> dict:
    """Rows of the flows that ended: their last answers, and what was true."""
    flows = captured.flows
    given = [self._given.get(flow, {}) for flow in flows.ids.tolist()]
    rows = self._addresses(captured)
    for name in self._answered:
      rows[name] = [answer.get(name) for answer in given]
    rows["event"] = ["end"] * len(flows)
    rows["time"] = captured.start_times + np.round(
      flows.durations * NANOSECONDS
    ).astype(np.int64)
    rows["flow_packets"] = flows.num_packets.tolist()
    rows["flow_bytes"] = flows.num_bytes.tolist()
    rows["flow_duration"] = flows.durations.tolist()
    reasons = captured.end_reasons.tolist()
    rows["end_reason"] = [END_REASON_NAMES[reason] for reason in reasons]
    came_to_end = [reason not in CUT_OFF for reason in reasons]
    for task in self._predictor.tasks:
      if task in MEASURED_TASKS:
        rows[f"true_{task}"] = self._true_names(captured, task)
        self._tally.evaluate(rows, task, came_to_end)
    return rows

  def _true_names(self, captured: CapturedFlows, task: str) -> list[str | None]:
    """The classes that whole flows turned out to have; None without a bandwidth."""
    dividers = self._predictor.description.dividers[task]
    names = (*self._predictor.names[task], None)
    return [names[i] for i in measured(captured.flows, task, dividers).tolist()]

  @property
  def _answered(self) -> tuple[str, ...]:
    """The columns of an answer that are told again when its flow ends."""
    of_tasks = itertools.chain(*map(of_task, self._predictor.tasks))
    of_labels = ["true_class"] if self._labels else []
    return ("revision", "time", "packets", *of_tasks, *of_labels)


def _first(packets: Packets, num_packets: int | None) -> Packets:
  """So many first packets of each flow; all by default."""
  if num_packets is None:
    return packets
  return Packets(
    times=packets.times[:, :num_packets],
    lengths=packets.lengths[:, :num_packets],
    directions=packets.directions[:, :num_packets],
    counts=np.minimum(packets.counts, num_packets),
  )


def _not_asked(num_flows: int) -> Judgement:
  return Judgement(
    np.full(num_flows, UNKNOWN), np.full(num_flows, Reason.TOO_FEW, np.int8)
  )


def _select(captured: CapturedFlows, rows: np.ndarray) -> CapturedFlows:
  fields = {
    field.name: getattr(captured, field.name)[rows]
    for field in dataclasses.fields(captured)
  }
  return CapturedFlows(**fields)
