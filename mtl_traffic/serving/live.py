"""Answers for the flows of a capture while its packets come in."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from mtl_traffic import tables
from mtl_traffic.data import captures
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
from mtl_traffic.data.captures.reading import NANOSECONDS, RawPackets
from mtl_traffic.serving.answer_files import AnswerFile, Rows
from mtl_traffic.serving.judgement import (
  REASON_NAMES,
  UNKNOWN,
  UNKNOWN_NAME,
  Judgement,
  Reason,
)
from mtl_traffic.serving.predictor import Predictor
from mtl_traffic.serving.truth import MEASURED_TASKS, measured

_MINUTE = 60 * NANOSECONDS


def schema(
  tasks: Sequence[str], evaluate: bool = False, labelled: bool = False
) -> pa.Schema:
  """The columns of answers; see the README.

  Args:
    tasks: what is answered.
    evaluate: with what flows turned out to be when they end.
    labelled: with the class that labels give.
  """
  text, count = pa.string(), pa.int64()
  when = pa.timestamp("ns", "UTC")
  columns = {"event": text} if evaluate else {}
  columns |= {
    "flow": text,
    "client_address": text,
    "client_port": count,
    "server_address": text,
    "server_port": count,
    "protocol": text,
    "start_time": when,
    "time": when,
    "packets": count,
  }
  for task in tasks:
    columns |= {task: text, f"{task}_probability": pa.float64()}
    columns |= {_unknown(task): text}
  if labelled:
    columns |= {"true_class": text}
  if evaluate:
    columns |= {"flow_packets": count, "flow_bytes": count}
    columns |= {"flow_duration": pa.float64(), "end_reason": text}
    columns |= {f"true_{task}": text for task in tasks if task in MEASURED_TASKS}
  return pa.schema(list(columns.items()))


@dataclasses.dataclass
class Tally:
  """What was answered so far.

  Attributes:
    answers: by task, class and why the class is unknown (None where it is not), how
      many flows were last answered so; and the sum of those answers' probabilities.
    by_minute: by minute since 1970 and class, the same for the first task.
    by_tasks: by bandwidth and duration class, the same.
    evaluated: by task, whether the flow came to its end, and whether the answer was
      right (None = unknown), how many.
    labelled: by whether the class was right (None = unknown), how many flows that have
      a label were last answered so.
    labels: which labels flows have.
  """

  answers: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  probabilities: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  by_minute: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  by_tasks: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  evaluated: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  labelled: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  labels: captures.Accounts = dataclasses.field(default_factory=captures.Accounts)
  num_answers: int = 0


class Answering:
  """Gives each flow of a capture its answers, and writes them to a file."""

  def __init__(
    self,
    predictor: Predictor,
    file: AnswerFile,
    tally: Tally,
    *,
    points: Sequence[int],
    threshold: float = 0.0,
    evaluate: bool = False,
    labels: Labels | None = None,
  ):
    """Args:
    predictor: the model.
    file: where answers go.
    tally: where they are counted.
    points: at which packets of a flow an answer is given, ascending. A flow that ends
      before the last of them is answered when it ends.
    threshold: what is less probable is unknown.
    evaluate: when a flow ends, write what its bandwidth and duration were.
    labels: write the true classes that these give.
    """
    self._predictor, self._file, self._tally = predictor, file, tally
    self._points, self._threshold, self._evaluate = tuple(points), threshold, evaluate
    self._labels = labels
    self._given: dict[str, dict] = {}  # The last answers of open flows.

  def read(
    self,
    batches: Iterator[RawPackets],
    name: str,
    accounts: captures.Accounts,
    rules: captures.Rules,
    live: bool = False,
    followed_by: Iterable[tuple[str, Iterator[RawPackets]]] = (),
    clock: Callable[[], int] | None = None,
  ) -> Iterator[int]:
    """Answers for the flows of one capture; yields now and then.

    Args:
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
    assembler = FlowAssembler(name, accounts, rules)
    files = itertools.chain([(name, batches)], followed_by)
    for i, (file, packets) in enumerate(files):
      if i:
        assembler.begin_file(file)
      for raw in packets:
        if len(raw.times):
          assembler.add(decoder.decode(raw))
        elif clock:
          assembler.advance(clock())
        else:
          assembler.flush()
        self._answer_for(assembler, wait=not live)
        yield accounts.num_packets
    assembler.flush()
    self._answer_for(assembler, wait=False)
    for captured in assembler.finish():
      self._end(captured)
    yield accounts.num_packets

  def _answer_for(self, assembler: FlowAssembler, wait: bool) -> None:
    """Answers for the flows that the last batch brought to a point or an end."""
    for point in self._points:
      for captured in assembler.reaching(point):
        self._answer(captured, point)
    for captured in assembler.ended(wait):
      self._end(captured)
    assembler.forget_packets(self._points[-1])

  def _answer(
    self,
    captured: CapturedFlows,
    num_packets: int | None,
    was_given: bool = False,
    ask: bool = True,
  ) -> None:
    """Answers after so many packets, or after all that there are.

    Args:
      captured: the flows.
      num_packets: how many packets to look at.
      was_given: the answer was given before, and only now turns out to be the last.
      ask: ask the model; without, the answer is unknown, of probability 0.
    """
    seen = captured.flows.packets.counts.astype(np.int64)
    if num_packets is not None:
      seen = np.minimum(seen, num_packets)
    answers = self._predictor(captured.flows, num_packets) if ask else None
    rows = self._addresses(captured)
    last = captured.flows.packets.times[np.arange(len(seen)), seen - 1]
    rows["time"] = captured.start_times + np.round(last * NANOSECONDS).astype(np.int64)
    rows["packets"] = seen.tolist()
    for task in self._predictor.tasks:
      if answers:
        judged = self._predictor.judge(answers, task, seen, self._threshold)
        confidences = answers.confidences(task).astype(np.float64)
      else:
        judged, confidences = _not_asked(len(seen)), np.zeros(len(seen))
      names = (*self._predictor.names[task], UNKNOWN_NAME)
      rows[task] = [names[label] for label in judged.labels.tolist()]
      rows[f"{task}_probability"] = np.round(confidences, 6).tolist()
      rows[_unknown(task)] = [REASON_NAMES.get(of) for of in judged.reasons.tolist()]
    if self._labels:
      rows["true_class"] = self._true_classes(captured)
    if self._evaluate:
      rows["event"] = ["answer"] * len(seen)
    if not was_given:
      self._file.write(rows)
      self._tally.num_answers += len(seen)
    # Flows that are to be answered again are counted when that is done.
    is_last = num_packets is None or num_packets == self._points[-1]
    self._count(rows, is_last)

  def _end(self, captured: CapturedFlows) -> None:
    """Answers for the flows that ended early, and says what the flows were like."""
    num_packets = captured.flows.num_packets
    early = num_packets < self._points[-1]
    was_given = np.isin(num_packets, self._points)
    # In a flood there are more of them than can be asked about, and nothing to be told
    # of one packet.
    pushed_out = (captured.end_reasons == EndReason.EVICTED) & (num_packets == 1)
    asked = early & ~was_given & ~pushed_out
    if asked.any():
      self._answer(_select(captured, asked), None)
    if (early & ~was_given & pushed_out).any():
      self._answer(_select(captured, early & ~was_given & pushed_out), None, ask=False)
    if (early & was_given).any():
      self._answer(_select(captured, early & was_given), None, was_given=True)
    if self._evaluate:
      self._file.write(self._truth(captured))

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
    flows, tasks = captured.flows, self._predictor.tasks
    given = [self._given.pop(flow, {}) for flow in flows.ids.tolist()]
    rows = self._addresses(captured)
    rows["event"] = ["end"] * len(flows)
    rows["time"] = captured.start_times + np.round(
      flows.durations * NANOSECONDS
    ).astype(np.int64)
    for name in self._answered:
      rows[name] = [answer.get(name) for answer in given]
    rows["flow_packets"] = flows.num_packets.tolist()
    rows["flow_bytes"] = flows.num_bytes.tolist()
    rows["flow_duration"] = flows.durations.tolist()
    reasons = captured.end_reasons.tolist()
    rows["end_reason"] = [END_REASON_NAMES[reason] for reason in reasons]
    came_to_end = [reason not in CUT_OFF for reason in reasons]
    for task in tasks:
      if task in MEASURED_TASKS:
        rows[f"true_{task}"] = truth = self._true_names(captured, task)
        answered = zip(
          came_to_end, rows[task], rows[_unknown(task)], truth, strict=True
        )
        for ended, answer, unknown, true in answered:
          if true is not None and answer is not None:
            is_right = None if unknown else answer == true
            self._tally.evaluated[task, ended, is_right] += 1
    return rows

  def _true_names(self, captured: CapturedFlows, task: str) -> list[str | None]:
    """The classes that whole flows turned out to have; None without a bandwidth."""
    dividers = self._predictor.description.dividers[task]
    names = (*self._predictor.names[task], None)
    return [names[i] for i in measured(captured.flows, task, dividers).tolist()]

  @property
  def _answered(self) -> tuple[str, ...]:
    """The columns of an answer that are told again when its flow ends."""
    tasks = self._predictor.tasks
    of_tasks = [(task, f"{task}_probability", _unknown(task)) for task in tasks]
    of_labels = ["true_class"] if self._labels else []
    return ("packets", *itertools.chain(*of_tasks), *of_labels)

  def _count(self, rows: Rows, is_last: bool) -> None:
    tasks = self._predictor.tasks
    if self._evaluate:
      answered = self._answered
      for i, flow in enumerate(rows["flow"]):
        self._given[flow] = {name: rows[name][i] for name in answered}
    if not is_last:
      return
    for task in tasks:
      columns = (task, _unknown(task), f"{task}_probability")
      for name, why, p in zip(*(rows[column] for column in columns), strict=True):
        self._tally.answers[task, name, why] += 1
        self._tally.probabilities[task, name, why] += p
    if self._labels and "class" in tasks:
      self._tally.labelled.update(
        None if why else answer == true
        for answer, why, true in zip(
          rows["class"], rows[_unknown("class")], rows["true_class"], strict=True
        )
        if true is not None
      )
    first = "class" if "class" in tasks else tasks[0]
    minutes = (rows["time"] // _MINUTE).tolist()
    self._tally.by_minute.update(zip(minutes, rows[first], strict=True))
    if all(task in tasks for task in MEASURED_TASKS):
      pairs = zip(*(rows[task] for task in MEASURED_TASKS), strict=True)
      self._tally.by_tasks.update(pairs)


def _unknown(task: str) -> str:
  """The column that says why a flow is unknown."""
  return f"{task}_unknown_because"


def _not_asked(num_flows: int) -> Judgement:
  return Judgement(
    np.full(num_flows, UNKNOWN), np.full(num_flows, Reason.TOO_FEW, np.int8)
  )


def summary(tally: Tally, predictor: Predictor) -> str:
  """What was answered, as a table, and how much of it was right if that is known."""
  lines = []
  for task in predictor.tasks:
    known = [(name, None) for name in predictor.names[task]]
    unknown = [(UNKNOWN_NAME, why) for why in REASON_NAMES.values()]
    total = sum(tally.answers[task, name, why] for name, why in known + unknown)
    for name, why in known + unknown:
      count = tally.answers[task, name, why]
      if count:
        shown = f"{name}: {why}" if why else name
        mean = tally.probabilities[task, name, why] / count
        lines.append([task, shown, count, f"{100 * count / total:.1f}", f"{mean:.3f}"])
  header = ["task", "answer", "flows", "%", "mean probability"]
  text = tables.markdown_table(header, lines)
  right, wrong, unknown = (tally.labelled[value] for value in (True, False, None))
  if labelled := right + wrong + unknown:
    text += f"class: {100 * right / labelled:.1f} % right of {labelled} labelled flows"
    if right + wrong:
      share = 100 * right / (right + wrong)
      text += f", {share:.1f} % of the {right + wrong} answered"
    text += "\n"
  for task in MEASURED_TASKS:
    for ended, what in ((True, "flows that ended"), (False, "flows cut off")):
      right, wrong, unknown = (
        tally.evaluated[task, ended, value] for value in (True, False, None)
      )
      if right + wrong:
        text += (
          f"{task}: {100 * right / (right + wrong):.1f} % right of {right + wrong} "
          f"answered of {right + wrong + unknown} {what}\n"
        )
  return text


def _select(captured: CapturedFlows, rows: np.ndarray) -> CapturedFlows:
  fields = {
    field.name: getattr(captured, field.name)[rows]
    for field in dataclasses.fields(captured)
  }
  return CapturedFlows(**fields)
