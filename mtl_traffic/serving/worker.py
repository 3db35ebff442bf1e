"""What one of several processes does that share flows: it answers for its part."""

import contextlib
import dataclasses
import socket
import time
from collections.abc import Mapping
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import jax

from mtl_traffic.data.captures import Accounts, Rules
from mtl_traffic.data.captures.interface import Listener
from mtl_traffic.data.captures.shared_turns import Note, SharedTurns
from mtl_traffic.serving import live
from mtl_traffic.serving.answer_files import Rows
from mtl_traffic.serving.predictor import load_model
from mtl_traffic.serving.tally import Tally

_NEWS_S = 0.2  # Between reports without an answer.
_JAX_SETTINGS = (
  "jax_compilation_cache_dir",
  "jax_persistent_cache_min_compile_time_secs",
  "jax_persistent_cache_min_entry_size_bytes",
)


@dataclasses.dataclass
class Report:
  """What a worker says, when it has done what it was told, or on the way.

  Attributes:
    parts: rows of answers.
    accounts: of this capture, so far.
    tally: what was counted since the last report.
    is_done: whether it has done what it was told.
  """

  parts: list[Rows]
  accounts: Accounts
  tally: Tally
  is_done: bool


def jax_settings() -> dict[str, Any]:
  """How JAX is set up in this process, for others to do the same."""
  return {name: getattr(jax.config, name) for name in _JAX_SETTINGS}


def work(
  connection: Connection,
  turns: SharedTurns,
  model: str,
  options: Mapping[str, Any],
  settings: Mapping[str, Any],
) -> None:
  """The life of a worker: does what it is told, until it is told to leave.

  Args:
    connection: brings names of methods of `_Part` and their arguments, and takes a
      `Report` on each, or several.
    turns: where packets are left.
    model: the directory of the model.
    options: as `live.Answering` takes them.
    settings: of JAX.
  """
  # One accelerator has no room for several.
  for name, value in {**settings, "jax_platforms": "cpu"}.items():
    jax.config.update(name, value)
  with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
    # Whoever started this is gone then.
    part = _Part(connection, turns, model, options)
    while True:
      method, arguments = connection.recv()
      if method == "leave":
        return
      getattr(part, method)(*arguments)
      part.report(is_done=True)


class _Part:
  """Answers for a part of the flows."""

  def __init__(
    self,
    connection: Connection,
    turns: SharedTurns,
    model: str,
    options: Mapping[str, Any],
  ):
    self._connection, self._turns = connection, turns
    self._accounts, self._tally = Accounts(), Tally()
    self._parts: list[Rows] = []
    self._answering = live.Answering(
      load_model(model), self._add, self._tally, **options
    )

  def _add(self, parts: list[Rows]) -> None:
    self._parts += parts

  def report(self, is_done: bool) -> None:
    """Says what there is to say."""
    parts, self._parts = self._parts, []
    report = Report(parts, self._accounts, self._tally.taken(), is_done)
    self._connection.send(report)

  def warm_up(self) -> None:
    """Compiles, so that no answer has to wait for it."""
    self._answering.warm_up()

  def begin(self, name: str, rules: Rules, live: bool) -> None:
    """Begins a capture."""
    self._accounts = Accounts()
    self._answering.begin(name, self._accounts, rules, live)

  def begin_file(self, name: str, num_before: int) -> None:
    """Goes on in another file."""
    self._answering.begin_file(name, num_before)

  def take(self, slot: int, note: Note) -> None:
    """Answers for what was left in a slot."""
    self._answering.take(self._turns.get(slot, note))

  def finish(self) -> None:
    """Answers for the flows that are left."""
    self._answering.finish()

  def listen(self, name: str, heard: str, ring_bytes: int, rules: Rules) -> None:
    """Answers for what an interface brings, until there is something else to do.

    Args:
      name: what to call the capture.
      heard: what to call the interface.
      ring_bytes: size of the ring of its listener, of which the socket follows.
      rules: what makes a flow.
    """
    handle = reduction.recv_handle(self._connection)
    listener = Listener(heard, socket.socket(fileno=handle), ring_bytes)
    self._accounts = Accounts()
    said = time.monotonic()
    with contextlib.closing(
      self._answering.listen(listener, name, self._accounts, rules)
    ) as progress:
      for _ in progress:
        now = time.monotonic()
        if self._parts or now > said + _NEWS_S:
          self.report(is_done=False)
          said = now
        if self._connection.poll():
          break
