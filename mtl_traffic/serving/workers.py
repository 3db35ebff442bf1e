"""Answers by several processes, each of which has its part of the flows.

On captures and pipes this process reads packets, puts them in order and deals them out
by the hash of their five-tuples, in memory that the processes share. On an interface
each process listens for itself, and the kernel deals packets out. Their answers come
back turn by turn and are written here, in order of time.

A process that dies is told of, with what it had of packets and flows; the others go on.
"""

import collections
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, MutableSequence
from multiprocessing import reduction
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from mtl_traffic.data.captures import Accounts, Rules, interface
from mtl_traffic.data.captures.accounts import Skipped
from mtl_traffic.data.captures.sequence import Shard, Turn, parts
from mtl_traffic.data.captures.shared_turns import SharedTurns
from mtl_traffic.errors import InputError
from mtl_traffic.serving import worker
from mtl_traffic.serving.answer_files import Rows, uninterrupted
from mtl_traffic.serving.tally import Tally
from mtl_traffic.serving.writer import Writer

_SLOTS = 4  # Calls that a worker may have before it.
_NEWS_S = 0.2
_LAST_WORDS_S = 60  # For workers to answer for what they have.
_NO_SHARD = Shard(0, 1)


class _Worker:
  """A worker as its parent sees it.

  Attributes:
    name: what to call it.
    process: its process.
    connection: to it.
    turns: where packets are left for it.
    is_alive: whether it was when it was last heard.
    before: packets of each call that it has not answered.
    done: what it answered calls, and was not written yet.
    accounts: of this capture, as it said last.
    num_open: its open flows.
  """

  def __init__(self, context, name: str, model: str, options: dict):
    self.name, self.turns = name, SharedTurns(context, _SLOTS)
    self.connection, end = context.Pipe()
    arguments = (end, self.turns, model, options, worker.jax_settings())
    self.process = context.Process(target=worker.work, args=arguments, daemon=True)
    self.process.start()
    end.close()
    self.is_alive = True
    self.before: collections.deque[int] = collections.deque()
    self.done: collections.deque[list[Rows]] = collections.deque()
    self.accounts, self.num_open = Accounts(), 0


class Workers:
  """Processes that answer for the flows of one capture after another, as a context.

  It is a `live.Answerer`. A thread hears what they say and writes it, while this one
  waits for packets.
  """

  def __init__(
    self,
    count: int,
    model: str | os.PathLike,
    writer: Writer,
    tally: Tally,
    books: MutableSequence[Accounts],
    shard: Shard | None = None,
    **options: Any,
  ):
    """Starts the processes.

    Args:
      count: how many.
      model: the directory of the model.
      writer: writes the answers.
      tally: where they are counted.
      books: each worker's accounts of each capture are added to these, and one of the
        workers that died.
      shard: which flows to answer for; all by default.
      **options: as `live.Answering` takes them.
    """
    self._writer, self._tally, self._books = writer, tally, books
    self._shard = shard or _NO_SHARD
    self._accounts = self._deaths = Accounts()
    books.append(self._deaths)
    self._changed = threading.Condition()
    self._num_called = self._num_written = 0
    self._problem: Exception | None = None
    self._is_over = False
    self._workers: list[_Worker] = []
    # JAX's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    # A terminal sends its Ctrl-C to all of them; that is for this one to hear.
    with uninterrupted():
      try:
        for i in range(count):
          name = f"worker {i + 1} of {count}"
          self._workers.append(_Worker(context, name, os.fspath(model), options))
      except BaseException:
        self._end_processes()
        raise
      self._hearing = threading.Thread(target=self._hear, daemon=True)
      self._hearing.start()

  @property
  def process_ids(self) -> list[int]:
    """Those of the workers."""
    return [each.process.pid for each in self._workers]

  def __enter__(self) -> "Workers":
    return self

  def __exit__(self, *problem) -> None:
    # What was dealt out is still answered for, and a second Ctrl-C does not change it.
    with uninterrupted():
      self._is_over = True
      for each in self._workers:
        self._send(each, "leave")
      self._hearing.join(_LAST_WORDS_S)
      self._end_processes()
      self._hearing.join(1)
      for each in self._workers:
        each.connection.close()
        each.process.close()
      # So that nothing keeps the memory that was shared.
      self._workers.clear()
      self._problem = None

  def _end_processes(self) -> None:
    for each in self._workers:
      each.process.join(1 if self._is_over else 0)
      each.process.kill()
      each.process.join()

  def warm_up(self) -> None:
    """Waits until all workers can answer at once."""
    self._call("warm_up")
    self._await_written()

  def begin(self, name: str, accounts: Accounts, rules: Rules, live: bool) -> None:
    """Begins a capture."""
    self._open_books(accounts)
    self._call("begin", name, self._part_of(rules), live)

  def begin_file(self, name: str, num_before: int) -> None:
    """Tells that the packets from now on, after so many, stand in another file."""
    self._call("begin_file", name, num_before)

  def take(self, turn: Turn) -> None:
    """Deals out what packets bring, one piece of them at most."""
    groups = self._deal(turn)
    slot = self._num_called % _SLOTS
    self._num_called += 1
    for each, packets in zip(self._workers, groups, strict=True):
      if self._may_call(each, len(packets)):
        self._send(each, "take", slot, each.turns.put(slot, turn, packets))
      else:
        self._accounts.skip(Skipped.WORKER, len(packets))

  def finish(self) -> None:
    """Waits for all answers, those for the flows that are left among them."""
    self._call("finish")
    self._await_written()

  def read_interface(
    self, name: str, accounts: Accounts, rules: Rules
  ) -> Iterator[int]:
    """Has each worker listen to its share of an interface; yields now and then.

    Args:
      name: the interface.
      accounts: where packets are counted that no worker counts.
      rules: what makes a flow.

    Yields:
      The number of packets read so far.

    Raises:
      InputError: there is no such interface, it may not be read or shared, or all
        workers died.
    """
    self._open_books(accounts)
    listeners = interface.listen(name, len(self._workers))
    self._num_called += 1
    with contextlib.ExitStack() as stack:
      for each, listener in zip(self._workers, listeners, strict=True):
        # Open here as well, or the kernel would deal out anew when a worker dies.
        stack.callback(self._close, each, listener)
      for i, (each, listener) in enumerate(zip(self._workers, listeners, strict=True)):
        if self._may_call(each, 0):
          heard = f"{name}, {each.name}"
          arguments = (f"{name}/{i + 1}", heard, listener.ring_bytes)
          self._send(each, "listen", *arguments, self._part_of(rules))
          with contextlib.suppress(OSError):
            reduction.send_handle(
              each.connection, listener.socket.fileno(), each.process.pid
            )
      while self._num_written < self._num_called:
        with self._changed:
          self._changed.wait(_NEWS_S)
        self._check()
        yield sum(each.accounts.num_packets for each in self._workers)

  def _open_books(self, accounts: Accounts) -> None:
    self._accounts = accounts
    for each in self._workers:
      each.accounts = Accounts()
      self._books.append(each.accounts)

  def _part_of(self, rules: Rules) -> Rules:
    """The same rules for each worker, with its part of the room for open flows."""
    count = len(self._workers)
    return dataclasses.replace(
      rules,
      max_open_flows=-(-rules.max_open_flows // count),
      max_open_packets=-(-rules.max_open_packets // count),
    )

  def _deal(self, turn: Turn) -> list[np.ndarray]:
    """Which packets of a turn are for each worker."""
    count = len(self._workers)
    if not turn.pieces:
      return [np.zeros(0, np.int64)] * count
    keys = turn.pieces[0].ordered.packets.keys
    part = parts(keys, self._shard.count * count) - self._shard.index * count
    groups = [np.flatnonzero(part == i) for i in range(count)]
    self._accounts.skip(Skipped.OTHER_SHARD, len(keys) - sum(map(len, groups)))
    return groups

  def _close(self, each: _Worker, listener: interface.Listener) -> None:
    """Closes a listener; what came for a worker that is dead by now is skipped."""
    with listener.socket:
      if not each.is_alive and not self._is_over:
        num_packets, num_lost = listener.counts()
        self._accounts.num_packets += num_packets
        self._accounts.skip(Skipped.WORKER, num_packets)
        self._accounts.num_lost += num_lost

  def _call(self, method: str, *arguments: Any) -> None:
    self._num_called += 1
    for each in self._workers:
      if self._may_call(each, 0):
        self._send(each, method, *arguments)

  def _may_call(self, each: _Worker, num_packets: int) -> bool:
    """Waits until a worker can be told more, about packets; whether it is alive."""
    with self._changed:
      while each.is_alive and len(each.before) >= _SLOTS and not self._problem:
        self._changed.wait()
      if each.is_alive:
        each.before.append(num_packets)
    self._check()
    return each.is_alive

  def _send(self, each: _Worker, method: str, *arguments: Any) -> None:
    with contextlib.suppress(OSError):  # It has just died, which is heard.
      each.connection.send((method, arguments))

  def _check(self) -> None:
    if self._problem:
      raise self._problem
    if not any(each.is_alive for each in self._workers):
      raise InputError("all workers died, so nobody is left to answer")

  def _await_written(self) -> None:
    with self._changed:
      while self._num_written < self._num_called and not self._problem:
        self._changed.wait()
    self._check()

  def _hear(self) -> None:
    """What the thread does: hears workers, and writes what they answer."""
    try:
      while living := {w.connection: w for w in self._workers if w.is_alive}:
        on_the_way = []
        for connection in wait(living):
          on_the_way += self._hear_one(living[connection])
        self._writer.write(on_the_way)
        self._write_turns()
        self._tally.num_open = sum(each.num_open for each in self._workers)
    except Exception as problem:  # For the other thread to raise.
      self._problem = problem
    finally:
      with self._changed:
        self._changed.notify_all()

  def _hear_one(self, each: _Worker) -> list[Rows]:
    """Takes a worker's report; returns rows that need not wait for other workers."""
    try:
      report = each.connection.recv()
    except (EOFError, OSError):
      self._bury(each)
      return []
    vars(each.accounts).update(vars(report.accounts))
    each.num_open = report.tally.num_open
    self._tally.add(report.tally)
    if not report.is_done:
      return report.parts
    with self._changed:
      each.before.popleft()
      each.done.append(report.parts)
      self._changed.notify_all()
    return []

  def _write_turns(self) -> None:
    """Writes what calls brought that all workers have answered."""
    while self._num_written < self._num_called:
      if not all(each.done for each in self._workers if each.is_alive):
        break
      done = [each.done.popleft() for each in self._workers if each.done]
      self._writer.write([rows for of_one in done for rows in of_one])
      with self._changed:
        self._num_written += 1
        self._changed.notify_all()

  def _bury(self, each: _Worker) -> None:
    """Notes that a worker died, and what became of its packets and flows."""
    each.process.join()
    each.connection.close()
    with self._changed:
      if not self._is_over:
        self._deaths.skip(Skipped.WORKER, sum(each.before))
        self._deaths.warnings.append(
          f"{each.name} died ({_how(each.process.exitcode)}); {each.num_open} flows "
          "that were open have no answer, and its packets from then on are skipped"
        )
      each.before.clear()
      each.num_open, each.is_alive = 0, False
      self._changed.notify_all()


def _how(exit_code: int) -> str:
  """What ended a process."""
  if exit_code >= 0:
    return f"status {exit_code}"
  with contextlib.suppress(ValueError):
    return signal.Signals(-exit_code).name
  return f"signal {-exit_code}"
