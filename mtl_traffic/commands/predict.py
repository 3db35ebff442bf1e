"""Classifies the flows of captures or of live traffic with a trained model.

    mtl-traffic predict --model=DIR --captures='DIR/*.pcap' --out=answers.csv
    tcpdump -i eth0 -s 128 -U -w - | \\
        mtl-traffic predict --model=DIR --captures=- --out=answers.jsonl
    mtl-traffic predict --model=DIR --interface=eth0 --out=answers.jsonl --rotate=1h
    mtl-traffic predict --model=DIR --interface=eth0 --out=- | jq .class
    mtl-traffic predict --model=DIR --captures=large.pcap --workers=2

The answer for a flow is written when its k-th packet arrives, or when the flow ends
before that. With --out=-, JSON lines go to standard output, and everything else to
standard error.

With --workers=N, N processes share the flows, and the answers are the same as with one.
If a worker dies, the others go on; a warning names it, and its packets are counted as
skipped.

The run may be ended early by Ctrl-C, a truncated capture, an interface that goes away,
a pipe whose reader ends, or a full disk. Every answer so far is then in the file, in
complete lines, and the exit status is not 0. It is 130 if the run was interrupted. It
is always 3 if packets of an interface were lost because they arrived faster than they
were read.
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
_PIPE_BYTES = 1 << 20  # Large, so that the program that writes to the pipe never waits.
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
    # absl adds "; repeat this option to specify a list of values".
    "The .csv, .jsonl or .parquet file to write, or - for JSON lines on standard "
    "output",
  )
  flags.DEFINE_bool("append", False, "Append to existing .csv and .jsonl files.")
  flags.DEFINE_string(
    "rotate",
    None,
    "Begin a new file after this time by the capture's clock, such as 10min, 1h or 1d, "
    "or at this size, such as 100MB or 1GB. Full files are renamed answers.1.jsonl, "
    "answers.2.jsonl and so on.",
  )
  capture_flags.define_answers()
  flags.DEFINE_float(
    "answer_after_s",
    None,
    "Also answer for a flow with too few packets when it has been silent for this "
    "time, in seconds of the capture's clock. Later answers for it replace this one.",
    lower_bound=0,
  )
  flags.DEFINE_string(
    "shard",
    None,
    "Answer only for a part of the flows, chosen by the hash of their five-tuples: 0/4 "
    "is the first of four parts.",
  )
  flags.DEFINE_integer(
    "workers",
    1,
    "Number of processes that answer, each for a part of the flows. If there are "
    "several, another one reads captures and pipes; on an interface each reads its own "
    "share.",
    lower_bound=1,
  )
  flags.DEFINE_bool(
    "evaluate",
    False,
    "When a flow ends, write its true bandwidth and duration, and count right answers.",
  )
  capture_flags.define_labels("true classes, to write and count beside the answers")
  flags.DEFINE_integer(
    "metrics_port",
    None,
    "Serve metrics for Prometheus on this port during the run (needs the extra "
    "'metrics').",
    lower_bound=1,
    upper_bound=65535,
  )
  flags.DEFINE_string(
    "metrics_address",
    "127.0.0.1",
    "The address on which metrics are served. Everyone who can reach it can read them.",
  )
  flags.DEFINE_string(
    "figure",
    None,
    "PNG file for a figure of classes over time, and of bandwidth by duration.",
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
  # Imported here: they need JAX. --help and the checks above do not.
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
  # If answers go to standard output, nothing else does.
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
  """Prints how the run ended and what was lost, and sets the exit status."""
  problems, status = [*accounts.warnings], 1
  if isinstance(ended, KeyboardInterrupt):
    problems.append("interrupted; the answers so far are written")
    status = _INTERRUPTED
  elif ended:
    problems.append(str(ended))
  if accounts.num_lost:
    problems.append(
      f"{accounts.num_lost} packets were lost: they arrived faster than they were read"
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
      raise InputError("no --out is a file; leave this out, or add a file with --out")
    return outputs.Rotation.of(args.rotate)


def _shard() -> Shard | None:
  if flags.FLAGS.shard is None:
    return None
  with cli.naming("--shard"):
    return Shard.of(flags.FLAGS.shard)


def _rules(predictor: "Predictor", max_packets: int, is_live: bool) -> captures.Rules:
  wait = captures.DEFAULT_RULES.reorder_s
  if flags.FLAGS.interface:
    wait = 0  # This machine stamps the packets, so they are in order.
  elif is_live:
    wait = capture_flags.LIVE_REORDER_S
  trained = predictor.description.rules
  return capture_flags.rules_of_model(trained, max_packets, wait)


def _sources() -> list[tuple[str | pathlib.Path | list[pathlib.Path], bool]]:
  """The sources to read, each with whether it is live."""
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
    # Closing it counts lost packets, which must happen however the run ends.
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
  """Reads live traffic to its end and shows progress."""
  # In a log, one line every 15 s is enough.
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
