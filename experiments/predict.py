"""Classifies the flows of captures or of live traffic with a trained model.

    python -m experiments.predict --model=DIR --captures='DIR/*.pcap' --out=answers.csv
    tcpdump -i eth0 -s 128 -U -w - | \
        python -m experiments.predict --model=DIR --captures=- --out=answers.jsonl
    python -m experiments.predict --model=DIR --interface=eth0 --out=answers.jsonl

A flow's answer is written when its k-th packet comes, or the flow ends before that.
Ctrl-C, a capture that breaks off, an interface that goes away or a full disk leave
every answer so far in the file, in complete lines, and an exit status other than 0.
"""

import fcntl
import gc
import os
import pathlib
import signal
import stat
import sys
from collections.abc import Iterator, Sequence

import tqdm
from absl import flags

from experiments import answer_files, answering, capture_flags, cli
from mtl_traffic import figures, inference
from mtl_traffic.data import captures
from mtl_traffic.data.captures.interface import read_interface
from mtl_traffic.data.captures.reading import RawPackets, read_packets
from mtl_traffic.errors import InputError

_MODEL = flags.DEFINE_string("model", None, "What experiments.train wrote.")
_INTERFACE = flags.DEFINE_string(
  "interface", None, "Read this network interface instead of captures (Linux, root)."
)
_OUT = flags.DEFINE_string(
  "out", "answers.jsonl", "The .csv, .jsonl or .parquet file to write."
)
_PACKETS = flags.DEFINE_list(
  "packets",
  None,
  "Answer at these packets, '5,10,60', if the model was trained on prefixes; at k.",
)
_THRESHOLD = flags.DEFINE_float(
  "threshold", 0.0, "What is less probable is unknown.", lower_bound=0, upper_bound=1
)
_EVALUATE = flags.DEFINE_bool(
  "evaluate", False, "When flows end, write and count how right the answers were."
)
_FIGURE = flags.DEFINE_string(
  "figure", None, "Draw classes over time and bandwidth by duration in this PNG."
)
_STDIN = "-"
_PIPE_BYTES = 1 << 20  # So that the writer need not wait for an answer.


def main(argv: Sequence[str]) -> None:
  del argv
  if not _MODEL.value:
    raise InputError("--model is missing; give the --workdir of experiments.train")
  if (_INTERFACE.value is None) == (capture_flags.CAPTURES.value is None):
    raise InputError("give either --captures, '-' for standard input, or --interface")
  sources = _sources()
  predictor = inference.load(_MODEL.value)
  points = _points(predictor)
  rules = capture_flags.rules(points[-1])
  is_live = any(live for _, live in sources)
  if is_live:
    predictor.warm_up()
    # What is there by now stays. Looking through it for garbage again would keep
    # answers waiting for a tenth of a second.
    gc.freeze()
  tally, accounts = answering.Tally(), captures.Accounts()
  schema = answering.schema(predictor.tasks, _EVALUATE.value)
  interrupted = None
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, _interrupt)
  try:
    with answer_files.open_answers(_OUT.value, schema) as file:
      for source, live in sources:
        one = captures.Accounts()
        session = answering.Answering(
          predictor,
          file,
          tally,
          points=points,
          threshold=_THRESHOLD.value,
          evaluate=_EVALUATE.value,
        )
        try:
          _answer_for(session, source, live, rules, one, tally)
        finally:
          accounts.add(one)
  except KeyboardInterrupt as error:
    interrupted = error
  print(capture_flags.summary(accounts))
  print(answering.summary(tally, predictor), end="")
  if _FIGURE.value:
    figures.answers_figure(
      tally.by_minute,
      tally.by_tasks,
      (*predictor.names["bandwidth"], answering.UNKNOWN_NAME),
      (*predictor.names["duration"], answering.UNKNOWN_NAME),
      _FIGURE.value,
    )
  print(f"wrote {tally.num_answers} answers to {_OUT.value}")
  if interrupted:
    print("error: interrupted; the answers so far are written", file=sys.stderr)
    raise interrupted
  if accounts.warnings:
    raise InputError("; ".join(accounts.warnings))


def _sources() -> list[tuple[str | pathlib.Path, bool]]:
  """What is to be read, and whether it is live."""
  if _INTERFACE.value:
    return [(_INTERFACE.value, True)]
  patterns = capture_flags.CAPTURES.value
  if patterns == [_STDIN]:
    return [(_STDIN, True)]
  pipes = [path for path in map(pathlib.Path, patterns) if path.is_fifo()]
  if pipes and len(patterns) > 1:
    raise InputError(f"--captures: {pipes[0]} is a pipe; give it alone")
  if pipes:
    return [(pipes[0], True)]
  return [(path, False) for path in capture_flags.find_captures(patterns)]


def _points(predictor: inference.Predictor) -> list[int]:
  """The packets at which to answer."""
  if _PACKETS.value is None:
    return [predictor.k]
  try:
    points = sorted({int(point) for point in _PACKETS.value})
  except ValueError:
    raise InputError(
      f"--packets={','.join(_PACKETS.value)}: must be numbers, '5,10,60' say"
    ) from None
  for point in points:
    predictor.check_num_packets(point)
  return points


def _answer_for(
  session: answering.Answering,
  source: str | pathlib.Path,
  live: bool,
  rules: captures.Rules,
  accounts: captures.Accounts,
  tally: answering.Tally,
) -> None:
  """Reads one source to its end."""
  if _INTERFACE.value:
    _follow(session, read_interface(source, accounts), source, rules, accounts, tally)
    return
  if source == _STDIN:
    file, name = sys.stdin.buffer, "stdin"
  else:
    file, name = open(source, "rb"), source.name
  with file:
    if live:
      if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
      packets = read_packets(file, name, accounts, live=True)
      _follow(session, packets, name, rules, accounts, tally)
      return
    size = source.stat().st_size
    with tqdm.tqdm(total=size, unit="B", unit_scale=True, desc=name) as bar:
      packets = read_packets(file, str(source), accounts)
      for _ in session.read(packets, name, accounts, rules):
        bar.update(file.tell() - bar.n)
        bar.set_postfix(answers=tally.num_answers, refresh=False)


def _follow(
  session: answering.Answering,
  packets: Iterator[RawPackets],
  name: str,
  rules: captures.Rules,
  accounts: captures.Accounts,
  tally: answering.Tally,
) -> None:
  """Reads live traffic, of which nobody knows the size."""
  # In a log, a line now and then is enough.
  often = 0.2 if sys.stderr.isatty() else 15
  with tqdm.tqdm(
    unit=" packets", unit_scale=True, desc=name, mininterval=often, delay=1
  ) as bar:
    for num_packets in session.read(packets, name, accounts, rules, live=True):
      bar.set_postfix(answers=tally.num_answers, refresh=False)
      bar.update(num_packets - bar.n)


def _interrupt(number, frame):
  raise KeyboardInterrupt


if __name__ == "__main__":
  cli.run(main, reads_dataset=False)
