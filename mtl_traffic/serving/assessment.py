"""Assesses a model by its answers for labelled flows, with 95 % intervals.

`assess` returns the content of `evaluation.json`; docs/evaluation.md explains each
name. An unknown answer counts as wrong, for whatever reason it is unknown. So does an
answer for a flow of a class that the model does not know.

Intervals are from a bootstrap over captures, with all their flows. Flows of one capture
are alike, so a hundred of them carry little more information than a few.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from mtl_traffic import evaluation
from mtl_traffic.evaluation import Coverage, Reliability
from mtl_traffic.serving.judgement import REASON_NAMES, UNKNOWN, UNKNOWN_NAME, Reason
from mtl_traffic.serving.observations import Answered, Observations

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
HEADLINES = (
  "accuracy",
  "balanced_accuracy",
  "macro_f1",
  "capture_accuracy",
  "client_accuracy",
  "answered_share",
  "accuracy_of_answered",
  "accuracy_of_known_classes",
)
_NOBODY = ("", "0.0.0.0", "::")  # Hosts without an address (DHCP) send from these.
_MIXED = -2  # The truth of a group whose flows are of several classes.


def assess(observed: Observations, *, seed: int = 0, num_samples: int = 1000) -> dict:
  """Assesses a model.

  Args:
    observed: its answers for N labelled flows.
    seed: the random seed of the intervals.
    num_samples: the number of bootstrap samples.

  Returns:
    Numbers, names, lists and dicts, ready for JSON. A fraction with denominator 0 is
    None.
  """
  of_class = observed.tasks["class"]
  bins = packet_bins(observed.k)
  units = _units(observed)
  if not units.are_captures:
    nobody = np.full(len(observed), "", object)
    observed = dataclasses.replace(observed, captures=nobody)
  seen = observed.seen
  by_capture = votes(of_class, observed.captures, seen, observed.class_counts)
  # Not divided: a class of many flows may have more addresses, and dividing lowers the
  # accuracy of addresses on captures of IoT devices (docs/tried.md).
  by_client = votes(of_class, _clients(observed), seen)
  sums = _Sums(units)
  _count_classes(sums, observed)
  _count_packets(sums, observed, bins)
  _count_others(sums, observed)
  for name, groups in (("capture", by_capture), ("client", by_client)):
    _count_groups(sums, name, groups, units)
  points, intervals = sums.with_intervals(_values, seed, num_samples)

  def shown(name: str, place: int = 0) -> dict:
    low, high = intervals[name][place]
    has_interval = not np.isnan(low)
    return {
      name.partition(":")[0]: _number(points[name][place]),
      f"{name.partition(':')[0]}_interval": [low, high] if has_interval else None,
    }

  reasons = np.bincount(of_class.reasons, minlength=len(Reason)).tolist()
  headlines = [shown(name) for name in HEADLINES]
  reliability = reliability_of(of_class)
  return {
    **{name: one[name] for name, one in zip(HEADLINES, headlines, strict=True)},
    "intervals": {
      name: one[f"{name}_interval"]
      for name, one in zip(HEADLINES, headlines, strict=True)
    },
    "resampled": "captures" if units.are_captures else "flows",
    "num_resampled": int(units.sizes.sum()),
    "num_samples": num_samples,
    "seed": seed,
    "num_flows": len(observed),
    "num_answered": reasons[Reason.ANSWERED],
    "unknown": {name: reasons[of] for of, name in REASON_NAMES.items()},
    "classes_unknown_to_model": _foreign(observed),
    "detection_of_unknown_classes": _detection(observed),
    "captures": _told(by_capture, observed.class_names),
    "clients": _told(by_client, observed.class_names),
    "ece": reliability.error,
    "calibration": _calibration(reliability),
    "coverage": _coverage(coverage_of(of_class)),
    "classes": [
      {
        "name": observed.class_names[i],
        "known_to_model": i < observed.num_known,
        "num_flows": int(points["of"][i]),
        "num_captures": int((by_capture.truth == i).sum()),
        "num_unknown": int(
          ((of_class.truth == i) & (of_class.labels == UNKNOWN)).sum()
        ),
        **shown("precision", i),
        **shown("recall", i),
        **shown("f1", i),
      }
      for i in present(of_class).tolist()
    ],
    "confusion": _confusion(observed),
    "by_packets": [
      {
        "from": first,
        "to": last,
        "num_flows": int(points["in_bin"][i]),
        "num_answered": int(points["answered_in_bin"][i]),
        **shown("accuracy:bins", i),
        **shown("accuracy_of_answered:bins", i),
      }
      for i, (first, last) in enumerate(bins)
    ],
    "after_packets": [
      {
        "packets": packets,
        "num_answered": int((answered.labels != UNKNOWN).sum()),
        **shown(f"accuracy:{packets}"),
        **shown(f"accuracy_of_answered:{packets}"),
      }
      for packets, answered in observed.after.items()
    ],
    "tasks": {
      task: {
        "classes": list(observed.task_names[task]),
        "num_flows": int((answered.truth >= 0).sum()),
        "num_answered": int(
          ((answered.truth >= 0) & (answered.labels != UNKNOWN)).sum()
        ),
        **shown(f"accuracy:{task}"),
        **shown(f"accuracy_of_answered:{task}"),
      }
      for task, answered in observed.tasks.items()
      if task != "class"
    },
  }


def packet_bins(k: int) -> list[tuple[int, int]]:
  """Ranges of packets seen, as (first, last), up to the k of a model.

  They begin at 1, 5, 10, 20, 50, 100, …, and at k, since many flows may have exactly k.
  """
  firsts = {1, k}
  firsts |= {n * 10**power for power in range(9) for n in (1, 2, 5)} & set(range(5, k))
  ordered = sorted(firsts)
  return [
    (first, after - 1)
    for first, after in zip(ordered, [*ordered[1:], k + 1], strict=True)
  ]


def present(answered: Answered) -> np.ndarray:
  """The classes that flows have or were predicted as, ascending."""
  both = np.concatenate([answered.truth, answered.labels])
  return np.unique(both[both >= 0])


def reliability_of(answered: Answered) -> Reliability:
  """Confidence against accuracy; the threshold is ignored."""
  asked = _asked(answered)
  return evaluation.reliability(
    answered.confidences[asked], (answered.best == answered.truth)[asked]
  )


def coverage_of(answered: Answered) -> Coverage:
  """Accuracy against coverage of flows that have a truth; the threshold is ignored."""
  asked = _asked(answered)
  return evaluation.coverage(
    answered.certainties[asked],
    (answered.best == answered.truth)[asked],
    int((answered.truth >= 0).sum()),
  )


def _asked(answered: Answered) -> np.ndarray:
  """`[N]` bool, the flows that have a truth and enough packets for an answer."""
  return (answered.truth >= 0) & (answered.reasons != Reason.TOO_FEW)


@dataclasses.dataclass(frozen=True)
class Votes:
  """The classes of G groups of flows, by the votes of their flows.

  Attributes:
    names: `[G]` str.
    members: `[N]` int, the group of each flow; −1 = none.
    truth: `[G]` int, the class of the group's flows; −2 if they are of several classes.
    elected: `[G]` int, the class with the most votes, see `votes`; −1 if no flow was
      answered.
  """

  names: np.ndarray
  members: np.ndarray
  truth: np.ndarray
  elected: np.ndarray

  @property
  def counted(self) -> np.ndarray:
    """`[G]` bool, the groups of a single class."""
    return self.truth != _MIXED

  @property
  def is_right(self) -> np.ndarray:
    """`[G]` bool."""
    return self.elected == self.truth


def votes(
  answered: Answered,
  names: np.ndarray,
  seen: np.ndarray,
  class_counts: Sequence[int] = (),
) -> Votes:
  """Predicts the class of groups of flows by the votes of their flows.

  A flow's vote for a class is its probability, times the packets seen. If the numbers
  of labelled training flows are given, it is divided by the square root of the class's
  number plus one. The reason is that a flow's probabilities are higher for a class with
  more training flows. But such a class may have many flows per capture, and no more
  captures than others. The square root is a compromise between the two.

  Args:
    answered: the answers for N flows.
    names: `[N]` str, the group of each flow; "" = none.
    seen: `[N]` int, the packets that answers are based on; they weight the votes.
      Otherwise twenty DNS look-ups, which are all alike, would outvote a long session.
    class_counts: `[C]` int, the labelled training flows of each class. If empty,
      nothing is divided.
  """
  there = names != ""
  found, places = np.unique(names[there].astype(str), return_inverse=True)
  members = np.full(len(names), -1)
  members[there] = places
  least, most = np.full((2, len(found)), -1)
  least[:] = np.iinfo(least.dtype).max
  np.minimum.at(least, places, answered.truth[there])
  np.maximum.at(most, places, answered.truth[there])
  # An unknown flow has no vote.
  weights = np.where(answered.labels == UNKNOWN, 0, seen)
  shares = answered.probabilities * weights[:, None]
  if len(class_counts):
    # One more, because a class may have no labelled training flows.
    shares /= np.sqrt(1 + np.asarray(class_counts, np.float64))
  elected = evaluation.vote(places, shares[there], len(found))
  return Votes(found, members, np.where(least == most, least, _MIXED), elected)


def _clients(observed: Observations) -> np.ndarray:
  """`[N]` str: client and capture; the same address may be another host elsewhere."""
  return np.array(
    [
      f"{client} in {capture}" if capture and client not in _NOBODY else ""
      for client, capture in zip(observed.clients, observed.captures, strict=True)
    ],
    object,
  )


class _Units(NamedTuple):
  """The units that the bootstrap resamples.

  Attributes:
    are_captures: whether the units are captures; otherwise they are flows.
    of_flow: `[N]` int, the unit of each flow.
    sizes: `[G]` int, how many equal units each entry stands for.
  """

  are_captures: bool
  of_flow: np.ndarray
  sizes: np.ndarray


def _units(observed: Observations) -> _Units:
  """Captures if every flow has one; otherwise flows, equal ones counted together."""
  if (observed.captures != "").all():
    names, of_flow = np.unique(observed.captures.astype(str), return_inverse=True)
    return _Units(True, of_flow, np.ones(len(names), int))
  answered = [*observed.tasks.values(), *observed.after.values()]
  columns = [observed.seen, *(x for one in answered for x in (one.truth, one.labels))]
  _, of_flow, sizes = np.unique(
    np.stack(columns, axis=1), axis=0, return_inverse=True, return_counts=True
  )
  return _Units(False, of_flow.ravel(), sizes)


class _Sums:
  """Counts by name; each is linear in how often each unit is drawn."""

  def __init__(self, units: _Units):
    self._units, self._parts = units, {}

  def add(
    self, name: str, index: np.ndarray, size: int, of_unit: np.ndarray | None = None
  ) -> None:
    """Counts items by an index.

    Args:
      name: the name of the counts.
      index: `[M]` int, below `size`; items with −1 do not count.
      size: the number of counts.
      of_unit: `[M]` the unit of each item; by default items are flows.
    """
    of_unit = self._units.of_flow if of_unit is None else of_unit
    counted = index >= 0
    index, of_unit = index[counted], of_unit[counted]
    shape = (size, len(self._units.sizes))
    ones = np.ones(len(index))
    part = sparse.coo_array((ones, (index, of_unit)), shape=shape).tocsr()
    # Counts of a single unit of each kind, to be multiplied by the number drawn.
    part.data /= self._units.sizes[part.indices]
    self._parts[name] = part

  def with_intervals(self, values, seed: int, num_samples: int) -> tuple[dict, dict]:
    """Computes values from the counts, `[M]` by name, and their intervals `[M, 2]`."""
    matrix = sparse.vstack(list(self._parts.values()), format="csr")
    stops = np.cumsum([part.shape[0] for part in self._parts.values()])

    def of_drawn(drawn: np.ndarray) -> dict[str, np.ndarray]:
      counts = np.split(matrix @ drawn, stops[:-1])
      return values(dict(zip(self._parts, counts, strict=True)))

    points = of_drawn(self._units.sizes)
    intervals = evaluation.bootstrap(
      lambda drawn: np.concatenate(list(of_drawn(drawn).values())),
      self._units.sizes,
      seed=seed,
      num_samples=num_samples,
    )
    ends = np.cumsum([len(of) for of in points.values()])
    return points, dict(zip(points, np.split(intervals, ends[:-1]), strict=True))


def _count_classes(sums: _Sums, observed: Observations) -> None:
  of_class, size = observed.tasks["class"], len(observed.class_names)
  sums.add("of", of_class.truth, size)
  sums.add("taken_for", of_class.labels, size)
  sums.add("right", _where(of_class.is_right, of_class.truth), size)
  sums.add("known", _where(of_class.truth < observed.num_known), 1)


def _count_packets(sums: _Sums, observed: Observations, bins: list) -> None:
  of_class = observed.tasks["class"]
  firsts = [first for first, _ in bins]
  in_bin = np.searchsorted(firsts, observed.seen, side="right") - 1
  for name, counted in (
    ("in_bin", in_bin >= 0),
    ("answered_in_bin", of_class.labels != UNKNOWN),
    ("right_in_bin", of_class.is_right),
  ):
    sums.add(name, _where(counted, in_bin), len(bins))


def _count_others(sums: _Sums, observed: Observations) -> None:
  """Counts for the other tasks, and for the class after each number of packets."""
  others = {task: of for task, of in observed.tasks.items() if task != "class"}
  for name, answered in {**others, **observed.after}.items():
    has_truth = answered.truth >= 0
    sums.add(f"flows:{name}", _where(has_truth), 1)
    sums.add(f"answered:{name}", _where(has_truth & (answered.labels != UNKNOWN)), 1)
    sums.add(f"right:{name}", _where(answered.is_right), 1)


def _count_groups(sums: _Sums, name: str, groups: Votes, units: _Units) -> None:
  """Counts groups; they are resampled with the captures that they are in."""
  of_group = np.zeros(len(groups.names), int)
  there = groups.members >= 0
  of_group[groups.members[there]] = units.of_flow[there]
  sums.add(f"{name}s", _where(groups.counted), 1, of_group)
  sums.add(f"right_{name}s", _where(groups.counted & groups.is_right), 1, of_group)


def _where(mask: np.ndarray, index: np.ndarray | int = 0) -> np.ndarray:
  """The index where the mask is true; elsewhere −1, which does not count."""
  return np.where(mask, index, -1)


def _values(counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Computes fractions and scores from counts, each `[M]`; NaN if they divide by 0."""
  flows, right = counts["of"].sum(keepdims=True), counts["right"].sum(keepdims=True)
  answered = counts["taken_for"].sum(keepdims=True)
  scores = evaluation.scores_of_sums(counts["right"], counts["taken_for"], counts["of"])
  values = {
    "of": counts["of"],
    "in_bin": counts["in_bin"],
    "answered_in_bin": counts["answered_in_bin"],
    "accuracy": _ratio(right, flows),
    "balanced_accuracy": _mean(scores.recall),
    "macro_f1": _mean(scores.f1),
    "capture_accuracy": _ratio(counts["right_captures"], counts["captures"]),
    "client_accuracy": _ratio(counts["right_clients"], counts["clients"]),
    "answered_share": _ratio(answered, flows),
    "accuracy_of_answered": _ratio(right, answered),
    "accuracy_of_known_classes": _ratio(right, counts["known"]),
    "precision": scores.precision,
    "recall": scores.recall,
    "f1": scores.f1,
    "accuracy:bins": _ratio(counts["right_in_bin"], counts["in_bin"]),
    "accuracy_of_answered:bins": _ratio(
      counts["right_in_bin"], counts["answered_in_bin"]
    ),
  }
  for key in counts:
    if key.startswith("flows:"):
      name = key.partition(":")[2]
      of_name = counts[f"right:{name}"]
      values[f"accuracy:{name}"] = _ratio(of_name, counts[key])
      answered = counts[f"answered:{name}"]
      values[f"accuracy_of_answered:{name}"] = _ratio(of_name, answered)
  return values


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
  mean = evaluation.mean_of_known(values)
  return np.array([np.nan if mean is None else mean])


def _number(value: float) -> float | None:
  return None if np.isnan(value) else float(value)


def _foreign(observed: Observations) -> dict[str, int]:
  """The number of flows of each class that the model does not know."""
  counts = np.bincount(
    observed.tasks["class"].truth, minlength=len(observed.class_names)
  )
  foreign = range(observed.num_known, len(observed.class_names))
  return {observed.class_names[i]: int(counts[i]) for i in foreign if counts[i]}


def _detection(observed: Observations) -> dict | None:
  """How well certainty detects flows of other classes; None if there are none."""
  of_class = observed.tasks["class"]
  is_known = of_class.truth < observed.num_known
  found = evaluation.detection(
    of_class.certainties[is_known], of_class.certainties[~is_known]
  )
  return None if np.isnan(found.auroc) else found._asdict()


def _told(groups: Votes, class_names: tuple[str, ...]) -> dict:
  """The number of groups, those left out as of several classes, and the wrong ones."""
  names = (*class_names, UNKNOWN_NAME)  # The last one is the name of −1.
  num_flows = np.bincount(groups.members[groups.members >= 0])
  wrong = np.flatnonzero(groups.counted & ~groups.is_right)
  wrong = wrong[np.argsort(-num_flows[wrong], kind="stable")]
  return {
    "number": int(groups.counted.sum()),
    "of_several_classes": groups.names[~groups.counted].tolist(),
    "wrong": [
      {
        "name": str(groups.names[i]),
        "class": names[groups.truth[i]],
        "answer": names[groups.elected[i]],
        "num_flows": int(num_flows[i]),
      }
      for i in wrong.tolist()
    ],
  }


def _calibration(reliability: Reliability) -> list[dict]:
  size = len(reliability.counts)
  return [
    {
      "from": i / size,
      "to": (i + 1) / size,
      "num_flows": int(count),
      "confidence": _number(reliability.confidences[i]),
      "accuracy": _number(reliability.accuracies[i]),
    }
    for i, count in enumerate(reliability.counts.tolist())
  ]


def _coverage(curve: Coverage) -> list[dict]:
  """Accuracy and coverage at some thresholds."""
  return [
    {"threshold": threshold, "coverage": share, "accuracy": _number(accuracy)}
    for threshold in THRESHOLDS
    for share, accuracy in [curve.at(threshold)]
  ]


def _confusion(observed: Observations) -> dict:
  """Counts, a row for each class that occurs; the last column is unknown."""
  of_class = observed.tasks["class"]
  classes = present(of_class)
  counts = np.zeros((len(classes), len(classes) + 1), int)
  answers = np.where(
    of_class.labels == UNKNOWN,
    len(classes),
    np.searchsorted(classes, of_class.labels),
  )
  np.add.at(counts, (np.searchsorted(classes, of_class.truth), answers), 1)
  names = [observed.class_names[i] for i in classes.tolist()]
  return {
    "classes": names,
    "answers": [*names, UNKNOWN_NAME],
    "counts": counts.tolist(),
  }
