"""Classifies the flows of captures or of live traffic with a trained model.

    mtl-traffic predict --model=DIR --captures='DIR/*.pcap' --out=answers.csv
    tcpdump -i eth0 -s 128 -U -w - | \\
        mtl-traffic predict --model=DIR --captures=- --out=answers.jsonl
    mtl-traffic predict --model=DIR --interface=eth0 --out=answers.jsonl --rotate=1h
    mtl-traffic predict --model=DIR --interface=eth0 --out=- | jq .class
    mtl-traffic predict --model=DIR --captures=large.pcap --workers=2

A flow's answer is written when its k-th packet comes, or the flow ends before that.
With --out=-, JSON lines go to standard output, and everything else to standard error.
With --workers=N, N processes share the flows; the answers are those of one. If one of
them dies, the others go on; it is named, and its packets are counted as skipped.
Ctrl-C, a capture that breaks off, an interface that goes away, a pipe that nobody reads
any more or a full disk leave every answer so far in the file, in complete lines, and an
exit status other than 0. It is 130 if the run was interrupted, and 3, however it ended,
if packets of an interface were lost because they came faster than they were read.
"""

import contextlib
import fcntl
import os
import pathlib
import signal
import stat
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import tqdm
from absl import flags, logging

from mtl_traffic import escapes, files
from mtl_traffic.commands import capture_flags, cli
from mtl_traffic.data import captures
from mtl_traffic.data.captures.accounts import Skipped
from mtl_traffic.data.captures.reading import RawPackets, read_packets
from mtl_traffic.data.captures.sequence import Shard
from mtl_traffic.errors import InputError
from mtl_traffic.serving import answer_columns, answer_files, outputs
from mtl_traffic.serving.judgement import UNKNOWN_NAME
from mtl_traffic.serving.truth import MEASURED_TASKS

if TYPE_CHECKING:
  from mtl_traffic.serving import live
  from mtl_traffic.serving import tally as tallies
  from mtl_traffic.serving.predictor import Predictor

USES_JAX = True
_STDIN = "-"
_PIPE_BYTES = 1 << 20  # So that the writer need not wait for an answer.
_INTERRUPTED, _LOST = 130, 3  # Exit statuses.


def define_flags() -> None:
  capture_flags.define(None)
  cli.define_required("model", "the directory that mtl-traffic train wrote")
  flags.DEFINE_string(
    "interface", None, "Read this network interface instead of captures (Linux, root)."
  )
  flags.DEFINE_multi_string(
    "out",
    ["answers.jsonl"],
    "The .csv, .jsonl or .parquet file to write, or - for JSON lines on standard "
    "output; may be given several times.",
  )
  flags.DEFINE_bool("append", False, "Go on with the .csv and .jsonl files that exist.")
  flags.DEFINE_string(
    "rotate",
    None,
    "Begin a new file after so long by the capture's clock, or when one is so large: "
    "10min, 1h, 1d, 100MB, 1GB. Full ones become answers.1.jsonl, answers.2.jsonl …",
  )
  capture_flags.define_answers()
  flags.DEFINE_float(
    "answer_after_s",
    None,
    "Also answer for a flow that is silent for so long before its last packet of "
    "--packets, in seconds of the capture's clock; later answers improve on it.",
    lower_bound=0,
  )
  flags.DEFINE_string(
    "shard",
    None,
    "Answer only for a part of the flows, by a hash of their five-tuples: 0/4 is the "
    "first of four.",
  )
  flags.DEFINE_integer(
    "workers",
    1,
    "Processes that answer, each for a part of the flows. With several, one more reads "
    "captures and pipes; on an interface each listens for itself.",
    lower_bound=1,
  )
  flags.DEFINE_bool(
    "evaluate", False, "When flows end, write and count how right the answers were."
  )
  capture_flags.define_labels("true classes, to write and count beside the answers")
  flags.DEFINE_integer(
    "metrics_port",
    None,
    "Serve Prometheus' metrics on this port while the run goes on (extra metrics).",
    lower_bound=1,
    upper_bound=65535,
  )
  flags.DEFINE_string(
    "metrics_address",
    "127.0.0.1",
    "The address to serve them on; whoever reaches it can read them.",
  )
  flags.DEFINE_string(
    "figure", None, "Draw classes over time and bandwidth by duration in this PNG."
  )


def main() -> None:
  args = flags.FLAGS
  if args.figure:
    with cli.naming("--figure"):
      files.check(args.figure)
  if (args.interface is None) == (args.captures is None):
    raise InputError("give either --captures, '-' for standard input, or --interface")
  sources = _sources()
  rotation, shard = _rotation(), _shard()
  with cli.naming("--out"):
    outputs.check(args.out, args.append)
  labels = capture_flags.read_labels()
  # With JAX, which neither --help nor any of the above need wait for.
  from mtl_traffic.serving import live, metrics, workers
  from mtl_traffic.serving import tally as tallies
  from mtl_traffic.serving.predictor import load_model
  from mtl_traffic.serving.writer import Writer

  if args.metrics_port:
    with cli.naming("--metrics_port"):
      metrics.check()
  predictor = load_model(args.model)
  points = capture_flags.points(predictor)
  is_live = any(is_live for _, is_live in sources)
  rules = _rules(predictor, points[-1], is_live)
  tally, books = tallies.Tally(), []
  ended: BaseException | None = None
  for number in answer_files.ENDINGS:
    if signal.getsignal(number) != signal.SIG_IGN:  # By nohup, for one.
      signal.signal(number, _interrupt)
  columns = answer_columns.columns(predictor.tasks, args.evaluate, labels is not None)
  with contextlib.ExitStack() as stack:
    if args.metrics_port:
      where = (args.metrics_port, args.metrics_address)
      with cli.naming("--metrics_port"):
        served = metrics.served(*where, predictor.description, books, tally)
        stack.enter_context(served)
    with cli.naming("--out"):
      answers = outputs.Outputs(args.out, columns, args.append, rotation)
    options = {
      "points": points,
      "pause_s": args.answer_after_s,
      "threshold": args.threshold,
      "evaluate": args.evaluate,
      "labels": labels,
    }
    clock = time.time_ns if args.interface else None
    try:
      with answers as file, contextlib.ExitStack() as session:
        writer = Writer(file, tally, points, clock)
        if args.workers > 1:
          group = workers.Workers(
            args.workers, args.model, writer, tally, books, shard, **options
          )
          answerer = session.enter_context(group)
        else:
          answerer = live.Answering(
            predictor, writer.write, tally, shard=shard, **options
          )
        if is_live:
          answerer.warm_up()
        for source, is_live in sources:
          _answer_for(answerer, source, is_live, rules, books, tally)
    except (KeyboardInterrupt, InputError) as error:
      ended = error
  accounts = captures.Accounts()
  for one in books:
    accounts.add(one)
  if ended is not None:
    left = accounts.num_packets - accounts.num_in_flows - sum(accounts.skipped.values())
    accounts.skip(Skipped.INTERRUPTED, max(left, 0))
  for notice in accounts.notices:
    logging.warning("%s", notice)
  if labels:
    read = [
      path for source, _ in sources if isinstance(source, list) for path in source
    ]
    for notice in capture_flags.unused_labels(labels, tally.labels, read):
      logging.warning("%s: %s", args.labels, notice)
  # Standard output is for nothing but the answers, if it is for those.
  is_free = answer_files.STANDARD_OUTPUT not in map(pathlib.Path, args.out)
  told = sys.stdout if is_free else sys.stderr
  print(accounts.summary(), file=told)
  print(tallies.summary(tally, predictor), end="", file=told)
  if args.figure:
    from mtl_traffic.serving import figures

    unknown = (UNKNOWN_NAME,)
    crossed = [predictor.names.get(task, ()) + unknown for task in MEASURED_TASKS]
    figures.answers_figure(tally.by_minute, tally.by_tasks, *crossed, args.figure)
  where = ", ".join(map(answer_files.shown, args.out))
  print(f"wrote {tally.num_answers} answers to {where}", file=told)
  _finish(ended, accounts)


def _finish(ended: BaseException | None, accounts: captures.Accounts) -> None:
  """Says how the run ended, and what was lost, and ends the process accordingly."""
  problems, status = [*accounts.warnings], 1
  if isinstance(ended, KeyboardInterrupt):
    problems.append("interrupted; the answers so far are written")
    status = _INTERRUPTED
  elif ended:
    problems.append(str(ended))
  if accounts.num_lost:
    problems.append(
      f"{accounts.num_lost} packets were lost, as they came faster than they were read"
    )
    status = _LOST
  for problem in problems:
    print(f"error: {escapes.for_terminal(problem)}", file=sys.stderr)
  if problems:
    sys.exit(status)


def _rotation() -> outputs.Rotation | None:
  args = flags.FLAGS
  if args.rotate is None:
    return None
  with cli.naming("--rotate"):
    if not any(map(answer_files.is_file, args.out)):
      raise InputError("answers go to no file; leave it out, or give one more --out")
    return outputs.Rotation.of(args.rotate)


def _shard() -> Shard | None:
  if flags.FLAGS.shard is None:
    return None
  with cli.naming("--shard"):
    return Shard.of(flags.FLAGS.shard)


def _rules(predictor: "Predictor", max_packets: int, is_live: bool) -> captures.Rules:
  wait = captures.DEFAULT_RULES.reorder_s
  if flags.FLAGS.interface:
    wait = 0  # They are stamped here, one after another.
  elif is_live:
    wait = capture_flags.LIVE_REORDER_S
  trained = predictor.description.rules
  return capture_flags.rules_of_model(trained, max_packets, wait)


def _sources() -> list[tuple[str | pathlib.Path | list[pathlib.Path], bool]]:
  """What is to be read, and whether it is live."""
  if flags.FLAGS.interface:
    return [(flags.FLAGS.interface, True)]
  patterns = capture_flags.patterns()
  if patterns == [_STDIN]:
    return [(_STDIN, True)]
  pipes = [path for path in map(pathlib.Path, patterns) if path.is_fifo()]
  if pipes and len(patterns) > 1:
    raise InputError(f"--captures: {pipes[0]} is a pipe; give it alone")
  if pipes:
    return [(pipes[0], True)]
  paths = capture_flags.find_captures()
  return [(chain, False) for chain in capture_flags.chains(paths)]


def _answer_for(
  answerer: "live.Answerer",
  source: str | pathlib.Path | list[pathlib.Path],
  is_live: bool,
  rules: captures.Rules,
  books: list[captures.Accounts],
  tally: "tallies.Tally",
) -> None:
  """Reads one source to its end."""
  from mtl_traffic.serving import live

  accounts = captures.Accounts()
  books.append(accounts)
  if flags.FLAGS.interface:
    # Closed at once however it ends, as it then counts what was lost.
    with contextlib.closing(
      answerer.read_interface(source, accounts, rules)
    ) as progress:
      _follow(progress, source, books, tally)
  elif is_live:
    is_stdin = source == _STDIN
    name = "stdin" if is_stdin else captures.sources.name_of(source)
    with sys.stdin.buffer if is_stdin else open(source, "rb") as file:
      if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
      packets = read_packets(file, name, accounts, live=True)
      progress = live.read(answerer, packets, name, accounts, rules, live=True)
      _follow(progress, name, books, tally)
  else:
    _read_files(answerer, source, rules, accounts, tally)


def _read_files(
  answerer: "live.Answerer",
  paths: list[pathlib.Path],
  rules: captures.Rules,
  accounts: captures.Accounts,
  tally: "tallies.Tally",
) -> None:
  """Reads the files of one capture."""
  from mtl_traffic.serving import live

  name_of = captures.sources.name_of
  size = sum(path.stat().st_size for path in paths)
  name = name_of(paths[0])
  with tqdm.tqdm(
    total=size, unit="B", unit_scale=True, desc=escapes.for_terminal(name)
  ) as bar:

    def packets_of(path: pathlib.Path) -> Iterator[RawPackets]:
      begun = bar.n
      with captures.sources.open_capture(path) as file:
        for raw in read_packets(file, captures.sources.shown(path), accounts):
          yield raw
          bar.update(begun + file.tell() - bar.n)
          bar.set_postfix(answers=tally.num_answers, refresh=False)

    first, *others = paths
    rest = ((name_of(path), packets_of(path)) for path in others)
    for _ in live.read(
      answerer, packets_of(first), name, accounts, rules, followed_by=rest
    ):
      pass


def _follow(
  progress: Iterator[int],
  name: str,
  books: list[captures.Accounts],
  tally: "tallies.Tally",
) -> None:
  """Reads live traffic, of which nobody knows the size."""
  # In a log, a line now and then is enough.
  often = 0.2 if sys.stderr.isatty() else 15
  with tqdm.tqdm(
    unit=" packets",
    unit_scale=True,
    desc=escapes.for_terminal(name),
    mininterval=often,
    delay=1,
  ) as bar:
    for num_packets in progress:
      num_lost = sum(each.num_lost for each in books)
      lost = {"lost": num_lost} if num_lost else {}
      bar.set_postfix(answers=tally.num_answers, **lost, refresh=False)
      bar.update(num_packets - bar.n)


def _interrupt(number, frame):
  raise KeyboardInterrupt
