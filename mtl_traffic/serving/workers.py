"""Answers by several worker processes, each responsible for a part of the flows.

For captures and pipes, this process reads the packets, puts them in order, and assigns
each to a worker by the hash of its five-tuple, through shared memory. For an interface,
each worker has a socket of its own, and the kernel distributes the packets. The workers
send their answers back turn by turn; this process writes them in order of time.

If a worker dies, the others go on. A warning names it and says how many flows it had
open. Its packets are counted as skipped.
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

_SLOTS = 4  # Calls that a worker may have in its queue.
_NEWS_S = 0.2  # Between updates of the progress.
_LAST_WORDS_S = 60  # For workers to answer for the packets that they have.
_NO_SHARD = Shard(0, 1)


class _Worker:
  """A worker as its parent sees it.

  Attributes:
    name: its name in messages.
    process: its process.
    connection: the pipe to it.
    turns: the memory through which it gets packets.
    is_alive: whether it was alive when it last reported.
    before: number of packets of each call that it has not finished.
    done: answers of each call that it has finished and that are not written yet.
    accounts: its accounts of the current capture, from its last report.
    num_open: its open flows, from its last report.
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
  """Worker processes that answer for one capture after another; a context manager.

  It is a `live.Answerer`. While the calling thread waits for packets, another thread
  receives the workers' reports and writes their answers.
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
      count: the number of workers.
      model: the directory of the model.
      writer: writes the answers.
      tally: counts the answers.
      books: list to which the accounts of each worker and capture are appended, and
        the accounts of packets that dead workers did not handle.
      shard: which flows to answer for; all by default.
      **options: the options of `live.Answering`.
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
    # A terminal sends Ctrl-C to all processes; only this one is to handle it.
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
    """The process ids of the workers."""
    return [each.process.pid for each in self._workers]

  def __enter__(self) -> "Workers":
    return self

  def __exit__(self, *problem) -> None:
    # Workers still answer for the packets they have, even after a second Ctrl-C.
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
      # Releases the shared memory.
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
    """Begins another file of the same capture, after `num_before` packets."""
    self._call("begin_file", name, num_before)

  def take(self, turn: Turn) -> None:
    """Distributes the packets of a turn, of one piece at most, to the workers."""
    groups = self._deal(turn)
    slot = self._num_called % _SLOTS
    self._num_called += 1
    for each, packets in zip(self._workers, groups, strict=True):
      if self._may_call(each, len(packets)):
        self._send(each, "take", slot, each.turns.put(slot, turn, packets))
      else:
        self._accounts.skip(Skipped.WORKER, len(packets))

  def finish(self) -> None:
    """Ends all open flows and waits until every answer is written."""
    self._call("finish")
    self._await_written()

  def read_interface(
    self, name: str, accounts: Accounts, rules: Rules
  ) -> Iterator[int]:
    """Has each worker read its share of an interface; yields every 0.2 s or so.

    Args:
      name: the interface.
      accounts: counts the packets that no worker counts.
      rules: the rules that make a flow.

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
        # Kept open here: if a worker died and its socket closed, the kernel would
        # distribute the flows of the other workers anew.
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
    """The rules for one worker: the limits of open flows are divided by the workers."""
    count = len(self._workers)
    return dataclasses.replace(
      rules,
      max_open_flows=-(-rules.max_open_flows // count),
      max_open_packets=-(-rules.max_open_packets // count),
    )

  def _deal(self, turn: Turn) -> list[np.ndarray]:
    """For each worker, the indices of its packets in a turn."""
    count = len(self._workers)
    if not turn.pieces:
      return [np.zeros(0, np.int64)] * count
    keys = turn.pieces[0].ordered.packets.keys
    part = parts(keys, self._shard.count * count) - self._shard.index * count
    groups = [np.flatnonzero(part == i) for i in range(count)]
    self._accounts.skip(Skipped.OTHER_SHARD, len(keys) - sum(map(len, groups)))
    return groups

  def _close(self, each: _Worker, listener: interface.Listener) -> None:
    """Closes a listener, and counts as skipped what arrived for a dead worker."""
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
    """Waits for room in a worker's queue and reserves it; False if it is dead.

    Args:
      each: the worker.
      num_packets: the number of packets in the call.
    """
    with self._changed:
      while each.is_alive and len(each.before) >= _SLOTS and not self._problem:
        self._changed.wait()
      if each.is_alive:
        each.before.append(num_packets)
    self._check()
    return each.is_alive

  def _send(self, each: _Worker, method: str, *arguments: Any) -> None:
    with contextlib.suppress(OSError):  # It has just died; `_hear` notices that.
      each.connection.send((method, arguments))

  def _check(self) -> None:
    if self._problem:
      raise self._problem
    if not any(each.is_alive for each in self._workers):
      raise InputError("all workers died, so no more flows are answered")

  def _await_written(self) -> None:
    with self._changed:
      while self._num_written < self._num_called and not self._problem:
        self._changed.wait()
    self._check()

  def _hear(self) -> None:
    """Runs in a thread: receives the workers' reports and writes their answers."""
    try:
      while living := {w.connection: w for w in self._workers if w.is_alive}:
        on_the_way = []
        for connection in wait(living):
          on_the_way += self._hear_one(living[connection])
        self._writer.write(on_the_way)
        self._write_turns()
        self._tally.num_open = sum(each.num_open for each in self._workers)
    except Exception as problem:  # The calling thread raises it.
      self._problem = problem
    finally:
      with self._changed:
        self._changed.notify_all()

  def _hear_one(self, each: _Worker) -> list[Rows]:
    """Receives a worker's report; returns rows that need not wait for other workers."""
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
    """Writes the answers of each call that all workers have finished."""
    while self._num_written < self._num_called:
      if not all(each.done for each in self._workers if each.is_alive):
        break
      done = [each.done.popleft() for each in self._workers if each.done]
      self._writer.write([rows for of_one in done for rows in of_one])
      with self._changed:
        self._num_written += 1
        self._changed.notify_all()

  def _bury(self, each: _Worker) -> None:
    """Records that a worker died, with its unfinished packets and open flows."""
    each.process.join()
    each.connection.close()
    with self._changed:
      if not self._is_over:
        self._deaths.skip(Skipped.WORKER, sum(each.before))
        self._deaths.warnings.append(
          f"{each.name} died ({_how(each.process.exitcode)}); {each.num_open} flows "
          "that were open have no answer, and its later packets are skipped"
        )
      each.before.clear()
      each.num_open, each.is_alive = 0, False
      self._changed.notify_all()


def _how(exit_code: int) -> str:
  """The signal or the exit status that ended a process."""
  if exit_code >= 0:
    return f"status {exit_code}"
  with contextlib.suppress(ValueError):
    return signal.Signals(-exit_code).name
  return f"signal {-exit_code}"
