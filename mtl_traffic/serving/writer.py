"""Writes answers in order of time, also those of several processes, and counts them."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from mtl_traffic.data.captures.reading import NANOSECONDS
from mtl_traffic.serving.answer_files import TIMES, Rows
from mtl_traffic.serving.outputs import Outputs
from mtl_traffic.serving.tally import Tally


class Writer:
  """Writes the answers of one turn after another."""

  def __init__(
    self,
    file: Outputs,
    tally: Tally,
    points: Iterable[int],
    clock: Callable[[], int] | None = None,
  ):
    """Args:
    file: the outputs.
    tally: counts the answers.
    points: the numbers of packets of a flow after which an answer is due.
    clock: gives the time in ns. Set if this machine stamps the packets; the delays of
      answers are then counted.
    """
    self._file, self._tally, self._points = file, tally, np.array([*points])
    self._clock = clock

  def write(self, parts: Sequence[Rows]) -> None:
    """Writes the rows of a turn, which may come in several parts.

    Raises:
      InputError: they could not be written.
    """
    if not parts:
      return
    rows = in_order(parts)
    self._file.write(rows)
    is_answer = np.array(rows["event"]) == "answer"
    self._tally.num_answers += int(np.count_nonzero(is_answer))
    if self._clock:
      is_prompt = is_answer & np.isin(np.array(rows["packets"], float), self._points)
      self._tally.count_delays((self._clock() - rows["time"][is_prompt]) / NANOSECONDS)


def in_order(parts: Sequence[Rows]) -> Rows:
  """The rows of all parts in order of time; rows of one flow stay in their order.

  Rows with the same time are ordered by the names of their flows. So the result does
  not depend on how the rows were split into parts.
  """
  names = dict.fromkeys(itertools.chain(*parts))
  rows = {name: _column(name, parts) for name in names}
  latest: dict[str, int] = {}
  keys = []
  for flow, time in zip(rows["flow"], rows["time"].tolist(), strict=True):
    latest[flow] = time = max(time, latest.get(flow, time))
    keys.append((time, flow))
  order = sorted(range(len(keys)), key=keys.__getitem__)
  return {
    name: column[order] if name in TIMES else [column[i] for i in order]
    for name, column in rows.items()
  }


def _column(name: str, parts: Sequence[Rows]) -> Sequence | np.ndarray:
  if name in TIMES:
    return np.concatenate([rows[name] for rows in parts])
  lacking = (None,)
  return list(
    itertools.chain.from_iterable(
      rows.get(name, lacking * len(rows["flow"])) for rows in parts
    )
  )
