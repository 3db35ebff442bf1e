"""Batches of network flows.

A flow is all packets that share a bidirectional five-tuple. A model reads its first
packets (`Packets`) and predicts properties of the whole flow (`Flows`).
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mtl_traffic.errors import InputError

UNKNOWN = -1  # The class of an unlabelled flow.
_WIDTH_OF_NAMES = 100  # Characters that a list of class or partition names may take.


def is_missing_name(text: str) -> bool:
  """Whether a class name stands for an unknown class: it is empty, or NaN."""
  return text.strip().lower() in ("", "nan")


@dataclasses.dataclass(frozen=True, eq=False)
class Packets:
  """The first packets of N flows, padded with zeros to P packets a flow.

  Attributes:
    times: `[N, P]` float64, seconds since the flow's first packet, never decreasing.
    lengths: `[N, P]` int32, bytes.
    directions: `[N, P]` int8, +1 client → server, −1 server → client, 0 padding.
    counts: `[N]` int32, packets of each flow; the other P − counts places are padding.
  """

  times: np.ndarray
  lengths: np.ndarray
  directions: np.ndarray
  counts: np.ndarray

  @property
  def there(self) -> np.ndarray:
    """`[N, P]` bool: True for packets, False for padding."""
    return np.arange(self.lengths.shape[1]) < self.counts[:, None]

  def replace(self, **fields) -> "Packets":
    """The same packets with some fields changed."""
    return dataclasses.replace(self, **fields)

  def __repr__(self) -> str:
    shape = ", ".join(map(str, np.shape(self.lengths)))
    return f"Packets([flows, packets] = [{shape}])"


@dataclasses.dataclass(frozen=True, eq=False)
class Flows:
  """N flows: their first packets, the totals of the whole flow, and its class.

  The fields are NumPy arrays with N as leading axis. In JAX flows are a pytree (see
  `pytrees`); the class and partition names are static.

  Attributes:
    packets: the first packets.
    num_packets: `[N]` int64, packets of the whole flow.
    durations: `[N]` float64, seconds from the first packet to the last.
    num_bytes: `[N]` int64, bytes of the whole flow, both directions.
    classes: `[N]` int32, index into `class_names`; −1 = unknown.
    partitions: `[N]` int32, index into `partition_names`.
    ids: `[N]` str, the flow's identifier in the source.
    class_names: the traffic classes.
    partition_names: the parts that the source divides its flows into.
    groups: `[N]` str, for example the capture. Flows of a group stay on one side of a
      split. None if no grouping was asked for.
  """

  packets: Packets
  num_packets: np.ndarray
  durations: np.ndarray
  num_bytes: np.ndarray
  classes: np.ndarray
  partitions: np.ndarray
  ids: np.ndarray
  class_names: tuple[str, ...]
  partition_names: tuple[str, ...]
  groups: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.num_packets)

  def __getitem__(self, indices) -> "Flows":
    """The flows that a slice, a mask or an array of indices selects."""
    return map_arrays(lambda leaf: leaf[indices], self)

  def replace(self, **fields) -> "Flows":
    """The same flows with some fields changed."""
    return dataclasses.replace(self, **fields)

  def __repr__(self) -> str:
    return (
      f"Flows({self.packets}; classes: {_shown(self.class_names)}; "
      f"partitions: {_shown(self.partition_names)})"
    )


def pad_packets(
  times: np.ndarray,
  lengths: np.ndarray,
  directions: np.ndarray,
  counts: np.ndarray,
  max_packets: int | None = None,
) -> tuple[Packets, np.ndarray]:
  """Pads the packets of N flows, given one flow after another, to `[N, P]` arrays.

  If the times of a flow go backwards, its packets are sorted by time first. The sort is
  stable: packets of equal time keep their order.

  Args:
    times: `[sum(counts)]` s, with the same origin for all packets of a flow.
    lengths: `[sum(counts)]` bytes.
    directions: `[sum(counts)]` +1 or −1.
    counts: `[N]` packets of each flow.
    max_packets: how many packets of each flow to keep; the longest flow's by default.

  Returns:
    The packets, and a mask `[N]` of the flows that had to be sorted.

  Examples:
    Two flows, of two packets and of one:

    >>> packets, _ = pad_packets(
    ...   times=np.array([0.0, 0.5, 9.0]),
    ...   lengths=np.array([100, 1400, 60]),
    ...   directions=np.array([1, -1, 1]),
    ...   counts=np.array([2, 1]),
    ... )
    >>> packets.lengths.tolist(), packets.times.tolist()
    ([[100, 1400], [60, 0]], [[0.0, 0.5], [0.0, 0.0]])
  """
  counts = np.asarray(counts, np.int64)
  flow_of_packet = np.repeat(np.arange(len(counts)), counts)
  backwards = (np.diff(times) < 0) & (np.diff(flow_of_packet) == 0)
  was_sorted = np.zeros(len(counts), bool)
  was_sorted[flow_of_packet[1:][backwards]] = True
  if was_sorted.any():
    order = np.lexsort((times, flow_of_packet))
    times, lengths, directions = times[order], lengths[order], directions[order]

  width = int(counts.max(initial=0)) if max_packets is None else max_packets
  starts = np.cumsum(counts) - counts
  position = np.arange(len(flow_of_packet)) - np.repeat(starts, counts)
  kept = position < width
  rows, columns = flow_of_packet[kept], position[kept]

  def lay_out(series: np.ndarray, dtype) -> np.ndarray:
    padded = np.zeros((len(counts), width), dtype)
    padded[rows, columns] = series[kept]
    return padded

  origins = times[np.minimum(starts, max(len(times) - 1, 0))] if len(times) else starts
  packets = Packets(
    times=lay_out(times - np.repeat(origins, counts), np.float64),
    lengths=lay_out(lengths, np.int32),
    directions=lay_out(directions, np.int8),
    counts=np.minimum(counts, width).astype(np.int32),
  )
  return packets, was_sorted


def concatenate(batches: Sequence[Flows]) -> Flows:
  """Joins batches of flows; classes and partitions are matched by name.

  The packets are padded to the widest batch; names keep the order of first appearance.
  """
  class_names = tuple(dict.fromkeys(n for b in batches for n in b.class_names))
  partition_names = tuple(dict.fromkeys(n for b in batches for n in b.partition_names))
  width = max(batch.packets.times.shape[1] for batch in batches)

  def widen(leaf: np.ndarray) -> np.ndarray:
    if leaf.ndim == 1:
      return leaf
    return np.pad(leaf, ((0, 0), (0, width - leaf.shape[1])))

  def aligned(batch: Flows) -> Flows:
    new_class = [class_names.index(name) for name in batch.class_names]
    new_partition = [partition_names.index(name) for name in batch.partition_names]
    return batch.replace(
      packets=map_arrays(widen, batch.packets),
      # Index −1, an unknown class, picks the appended −1.
      classes=np.array([*new_class, UNKNOWN], np.int32)[batch.classes],
      partitions=np.array(new_partition, np.int32)[batch.partitions],
      class_names=class_names,
      partition_names=partition_names,
    )

  return map_arrays(
    lambda *leaves: np.concatenate(leaves), *[aligned(batch) for batch in batches]
  )


def validate(flows: Flows, source: str = "flows") -> Flows:
  """Returns the flows unchanged if they are sound.

  Args:
    flows: the flows.
    source: where they come from, for the message.

  Raises:
    InputError: naming the source, the first flow at fault, its field, and the value.
  """
  num_flows = len(flows)
  for name, leaf in _fields(flows):
    if leaf.shape[0] != num_flows:
      raise InputError(
        f"{source}: field {name} has {leaf.shape[0]} rows for {num_flows} flows"
      )
  packets = flows.packets
  width, there = packets.times.shape[1], packets.there
  later = there[:, 1:]

  def check(field: str, wrong: np.ndarray, rule: str, values: np.ndarray) -> None:
    if not wrong.any():
      return
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    packet = f", packet {where[1] + 1}" if len(where) > 1 else ""
    raise InputError(
      f"{source}: flow '{flows.ids[where[0]]}' (row {where[0]}){packet}: "
      f"{field} is {values[where]}, but {rule}"
    )

  counts = packets.counts
  check("counts", (counts < 0) | (counts > width), f"must be 0 to {width}", counts)
  times = packets.times
  check("times", there & ~(times >= 0), "must be at least 0 s", times)
  check("times", there & np.isinf(times), "must be finite", times)
  check(
    "times",
    np.pad(later & (np.diff(times, axis=1) < 0), ((0, 0), (1, 0))),
    "must not go backwards; sort the packets by time",
    times,
  )
  check("lengths", there & (packets.lengths < 0), "must be at least 0", packets.lengths)
  check(
    "directions",
    there & (np.abs(packets.directions) != 1),
    "must be +1 or -1",
    packets.directions,
  )
  check(
    "num_packets",
    flows.num_packets < counts,
    "must be at least the number of packets in the series",
    flows.num_packets,
  )
  durations = flows.durations
  check("durations", ~(durations >= 0), "must be at least 0 s", durations)
  check("durations", np.isinf(durations), "must be finite", durations)
  check("num_bytes", flows.num_bytes < 0, "must be at least 0", flows.num_bytes)
  for field, names in (
    ("classes", flows.class_names),
    ("partitions", flows.partition_names),
  ):
    values = getattr(flows, field)
    lowest = UNKNOWN if field == "classes" else 0
    check(
      field,
      (values < lowest) | (values >= len(names)),
      f"must be {lowest} to {len(names) - 1}",
      values,
    )
  return flows


def map_arrays(function: Callable, *batches):
  """Applies a function to the arrays of batches; keeps the first batch's names."""
  first, *_ = batches
  changed = {}
  for field in dataclasses.fields(first):
    values = [getattr(batch, field.name) for batch in batches]
    if dataclasses.is_dataclass(values[0]):
      changed[field.name] = map_arrays(function, *values)
    elif isinstance(values[0], tuple):
      continue
    elif all(value is not None for value in values):
      changed[field.name] = function(*values)
  return first.replace(**changed)


def _shown(names: Sequence[str]) -> str:
  """Names separated by commas; the last ones are left out if the list gets too long."""
  row = ", ".join(names[:_WIDTH_OF_NAMES]) or "none"
  return row if len(row) <= _WIDTH_OF_NAMES else f"{row[:_WIDTH_OF_NAMES]}…"


def _fields(
  batch: Flows | Packets, prefix: str = ""
) -> Iterator[tuple[str, np.ndarray]]:
  """The arrays of a batch, by field name."""
  for field in dataclasses.fields(batch):
    value = getattr(batch, field.name)
    if isinstance(value, Packets):
      yield from _fields(value, f"{prefix}{field.name}.")
    elif value is not None and not isinstance(value, tuple):
      yield prefix + field.name, value
