"""Workers give the answers of one process; if one dies, the others go on."""

import io
import os
import pathlib
import signal
from multiprocessing import resource_tracker

import pytest

from mtl_traffic.data.captures import Accounts, Rules
from mtl_traffic.data.captures.reading import read_packets
from mtl_traffic.data.captures.sequence import Shard
from mtl_traffic.errors import InputError
from mtl_traffic.serving import checkpoints, live
from mtl_traffic.serving.predictor import load_model
from mtl_traffic.serving.tally import Tally
from mtl_traffic.serving.workers import Workers
from mtl_traffic.serving.writer import Writer
from tests.data.capture_files import SECOND, ip_packet, pcap
from tests.data.test_captures_fanout import fragment
from tests.data.test_captures_shards import capture
from tests.serving.model_maker import make_model
from tests.serving.test_live_flood import _File

K = 6
RULES = Rules(max_packets=K, tcp_idle_s=30)
OPTIONS = {"points": (3, K), "pause_s": 5, "evaluate": True}
ROUNDED = ("probability", "certainty")
CHUNK_BYTES = 1 << 14  # Small, so that a small capture has many turns.


def fragments():
  """Datagrams in two fragments; only the first fragment has the ports."""
  packets = []
  for n in range(200):
    there = {"source": f"10.0.1.{n % 40}", "source_port": 1000 + n % 3, "payload": 16}
    for i, offset in enumerate((0, 3)):
      packet = bytearray(fragment(ip_packet(**there), offset))
      packet[4:6] = n.to_bytes(2, "big")  # The datagram that the fragment is part of.
      packets.append((n * SECOND // 7 + i, bytes(packet)))
  return pcap(packets, nano=True)


# Captures, each a list of files that follow each other.
CAPTURES = ((capture(1),), (fragments(),), (capture(2), fragments()))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  path = tmp_path_factory.mktemp("model")
  checkpoints.save(path, *make_model(k=K, shortest_prefix=3))
  return path


class _Run:
  """The answers and counts of a run."""

  def __init__(self):
    self.rows, self.tally, self.books = _File(), Tally(), []
    self.writer = Writer(self.rows, self.tally, OPTIONS["points"])

  def read(self, answerer, files):
    self.books.append(Accounts())
    accounts = self.books[-1]
    (first, *others) = [
      (f"{i}", read_packets(io.BytesIO(file), f"{i}", accounts, CHUNK_BYTES))
      for i, file in enumerate(files)
    ]
    yield from live.read(
      answerer, first[1], first[0], accounts, RULES, followed_by=others
    )

  @property
  def accounts(self):
    total = Accounts()
    for each in self.books:
      total.add(each)
    return total

  def workers(self, model, count, **others):
    return Workers(count, model, self.writer, self.tally, self.books, **others)


def by_one(model, **others):
  run = _Run()
  answering = live.Answering(
    load_model(model), run.writer.write, run.tally, **OPTIONS, **others
  )
  for files in CAPTURES:
    list(run.read(answering, files))
  return run


def check_same(run, expected):
  """Checks that rows and counts are equal; probabilities and certainties nearly."""
  assert len(run.rows) == len(expected.rows) > 1000
  for row, other in zip(run.rows, expected.rows, strict=True):
    assert row.keys() == other.keys()
    for name, value in row.items():
      if name.endswith(ROUNDED) and value is not None:
        assert value == pytest.approx(other[name], abs=2e-6)
      else:
        assert value == other[name], name
  assert vars(run.accounts) == vars(expected.accounts)
  for field in ("answers", "by_minute", "by_tasks", "evaluated", "num_answers"):
    assert getattr(run.tally, field) == getattr(expected.tally, field), field
  assert run.tally.num_open == 0


def test_two_workers_answer_as_one_in_the_same_order(model):
  expected = by_one(model)
  assert expected.accounts.num_late > 0  # The captures contain the difficult cases.
  run = _Run()
  with run.workers(model, 2, **OPTIONS) as workers:
    workers.warm_up()
    for files in CAPTURES:
      list(run.read(workers, files))
  check_same(run, expected)
  shares = [each.num_in_flows for each in run.books if each.num_in_flows]
  assert len(shares) == 2 * len(CAPTURES) and min(shares) > 0.2 * max(shares)


def test_workers_of_a_shard_answer_for_that(model):
  shard = Shard(1, 3)
  expected, run = by_one(model, shard=shard), _Run()
  with run.workers(model, 2, shard=shard, **OPTIONS) as workers:
    for files in CAPTURES:
      list(run.read(workers, files))
  assert len(run.rows) == len(expected.rows) > 0
  assert [row["flow"] for row in run.rows] == [row["flow"] for row in expected.rows]
  assert vars(run.accounts) == vars(expected.accounts)
  assert run.accounts.skipped["of another shard"] > 0


def test_a_worker_that_dies_is_named_and_the_other_goes_on(model):
  files = (capture(3),)
  whole = _Run()
  answering = live.Answering(
    load_model(model), whole.writer.write, whole.tally, **OPTIONS
  )
  list(whole.read(answering, files))
  run = _Run()
  with run.workers(model, 2, **OPTIONS) as workers:
    workers.warm_up()
    progress = run.read(workers, files)
    while next(progress) < 300:
      pass
    os.kill(workers.process_ids[0], signal.SIGKILL)
    list(progress)
  accounts = run.accounts
  (warning,) = accounts.warnings
  assert warning.startswith("worker 1 of 2 died (SIGKILL); ")
  assert "flows that were open have no answer" in warning
  skipped = accounts.skipped["of a worker that died"]
  assert skipped > 100
  assert accounts.num_packets == whole.accounts.num_packets
  assert accounts.num_in_flows + skipped == accounts.num_packets
  # The answers of the other worker are unaffected.
  keys = [(row["flow"], row["event"], row["revision"]) for row in whole.rows]
  found = {(row["flow"], row["event"], row["revision"]) for row in run.rows}
  assert len(found) == len(run.rows) and found < set(keys)
  second = run.books[-1]
  ends = {flow for flow, event, _ in found if event == "end"}
  assert len(ends) >= second.num_flows > 50
  assert run.tally.num_open == 0


def test_without_workers_nobody_can_answer(model):
  run = _Run()
  with run.workers(model, 1, **OPTIONS) as workers:
    os.kill(workers.process_ids[0], signal.SIGKILL)
    with pytest.raises(InputError, match="all workers died"):
      list(run.read(workers, (capture(),)))
  assert run.accounts.warnings[0].startswith("worker 1 of 1 died (SIGKILL)")


def handles():
  """The names of this process's open files."""
  folder = pathlib.Path("/proc/self/fd")
  return sorted(os.readlink(path) for path in folder.iterdir() if path.exists())


def test_what_cannot_be_written_ends_the_run_and_leaves_nothing_behind(model):
  run = _Run()

  def full(rows):
    raise InputError("answers.csv: no space left")

  run.rows.write = full
  resource_tracker.ensure_running()  # Started before, because it keeps running.
  before = handles()
  with run.workers(model, 1, **OPTIONS) as workers:
    with pytest.raises(InputError, match="no space left"):
      list(run.read(workers, (capture(),)))
    processes = workers.process_ids
  for number in processes:
    with pytest.raises(ProcessLookupError):
      os.kill(number, 0)
  print(sorted(set(handles()) - set(before)))
  assert len(handles()) == len(before)
