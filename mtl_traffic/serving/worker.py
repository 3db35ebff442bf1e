"""One worker process of `workers`: answers for its part of the flows."""

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

_NEWS_S = 0.2  # Between reports that contain no answers.
_JAX_SETTINGS = (
  "jax_compilation_cache_dir",
  "jax_persistent_cache_min_compile_time_secs",
  "jax_persistent_cache_min_entry_size_bytes",
)


@dataclasses.dataclass
class Report:
  """What a worker reports when it has finished a call, or while it listens.

  Attributes:
    parts: rows of answers since the last report.
    accounts: accounts of the current capture so far.
    tally: counts since the last report.
    is_done: whether it has finished the call.
  """

  parts: list[Rows]
  accounts: Accounts
  tally: Tally
  is_done: bool


def jax_settings() -> dict[str, Any]:
  """The settings of JAX in this process, which workers take over."""
  return {name: getattr(jax.config, name) for name in _JAX_SETTINGS}


def work(
  connection: Connection,
  turns: SharedTurns,
  model: str,
  options: Mapping[str, Any],
  settings: Mapping[str, Any],
) -> None:
  """Runs a worker: executes the calls that it receives, until "leave".

  Args:
    connection: delivers calls, each the name of a method of `_Part` with its arguments.
      One `Report` or several are sent back for each call.
    turns: the memory through which packets arrive.
    model: the directory of the model.
    options: the options of `live.Answering`.
    settings: the settings of JAX.
  """
  # Several processes do not fit into the memory of one accelerator.
  for name, value in {**settings, "jax_platforms": "cpu"}.items():
    jax.config.update(name, value)
  with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
    # These errors mean that the parent process has ended.
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
    """Sends a report of the answers and counts since the last one."""
    parts, self._parts = self._parts, []
    report = Report(parts, self._accounts, self._tally.taken(), is_done)
    self._connection.send(report)

  def warm_up(self) -> None:
    """Compiles the model, so that no answer waits for compilation."""
    self._answering.warm_up()

  def begin(self, name: str, rules: Rules, live: bool) -> None:
    """Begins a capture."""
    self._accounts = Accounts()
    self._answering.begin(name, self._accounts, rules, live)

  def begin_file(self, name: str, num_before: int) -> None:
    """Begins another file of the same capture."""
    self._answering.begin_file(name, num_before)

  def take(self, slot: int, note: Note) -> None:
    """Answers for the packets in a slot of the shared memory."""
    self._answering.take(self._turns.get(slot, note))

  def finish(self) -> None:
    """Ends all open flows and answers for them."""
    self._answering.finish()

  def listen(self, name: str, heard: str, ring_bytes: int, rules: Rules) -> None:
    """Answers for the packets of an interface, until another call arrives.

    The listener's socket follows the call on the connection.

    Args:
      name: the name of the capture.
      heard: the name of the interface in messages.
      ring_bytes: size of the listener's ring.
      rules: the rules that make a flow.
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
