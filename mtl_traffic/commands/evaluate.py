"""Measures the accuracy of a trained model on labelled captures or flows.

    mtl-traffic evaluate --model=DIR --captures='DIR/*.pcap' --labels=labels.csv \\
        --workdir=evaluation
    mtl-traffic evaluate --model=DIR --dataset=flows.parquet --workdir=evaluation

Writes `report.html` (a single file), `report.md` with its figures, and
`evaluation.json` to the work directory. They contain accuracy, balanced accuracy and
macro F1 of flows, and the accuracy of captures and client addresses, with 95 %
intervals; scores and confusions of each class; calibration; accuracy by number of
packets; and the accuracy of bandwidth and duration. Captures are split into flows as
by `predict`. Labels have the format of `extract-flows`.
"""

import pathlib
from typing import TYPE_CHECKING

import numpy as np
import tqdm
from absl import flags, logging

from mtl_traffic import data, escapes, files
from mtl_traffic.commands import capture_flags, cli
from mtl_traffic.data import captures
from mtl_traffic.data.captures.captured_flows import CUT_OFF, END_REASON_NAMES
from mtl_traffic.data.captures.labels import Labels
from mtl_traffic.errors import InputError

if TYPE_CHECKING:
  from mtl_traffic.serving.observations import Observations
  from mtl_traffic.serving.predictor import Predictor

USES_JAX = True
_FLOWS_AT_ONCE = 4096  # Flows of a dataset per step of the progress bar.


def define_flags() -> None:
  capture_flags.define(None)
  capture_flags.define_labels("the true classes")
  capture_flags.define_answers()
  cli.define_dataset("Instead of captures: ", "No dataset by default.")
  cli.define_required("model", "the directory that mtl-traffic train wrote")
  cli.define_required("workdir", "where the report goes")
  flags.DEFINE_integer(
    "seed", 0, "Random seed of the bootstrap intervals.", lower_bound=0
  )


def main() -> None:
  # Imported here: they need JAX, and --help does not.
  from mtl_traffic.serving import assessment, assessment_report
  from mtl_traffic.serving.predictor import load_model

  args = flags.FLAGS
  workdir = pathlib.Path(args.workdir)
  problems = cli.Problems()
  problems.of(_check_sources)
  with problems:
    assessment_report.check_absent(workdir)
  paths = problems.of(capture_flags.find_captures) if args.captures else None
  labels = problems.of(capture_flags.read_labels)
  predictor = problems.of(lambda: load_model(args.model))
  points = predictor and problems.of(lambda: capture_flags.points(predictor))
  problems.tell()
  with files.lock(workdir):
    assessment_report.check_absent(workdir)
    if paths:
      tested_on = f"{len(paths)} captures"
      observed, notices = _of_captures(predictor, points, paths, labels)
    else:
      tested_on, observed, notices = _of_dataset(predictor, points)
    notices += _of_classes(observed)
    for notice in notices:
      logging.warning("%s", notice)
    assessed = assessment.assess(observed, seed=args.seed)
    page = assessment_report.write(
      observed,
      assessed,
      workdir,
      model=args.model,
      tested_on=tested_on,
      notices=notices,
    )
  print(assessment_report.headlines(assessed), end="")
  print(f"The report is in {escapes.for_terminal(page)}")


def _check_sources() -> None:
  """Raises an InputError unless flags name either labelled captures or a dataset."""
  args = flags.FLAGS
  if (args.captures is None) == (args.dataset is None):
    raise InputError("give either --captures and --labels, or --dataset")
  if args.captures and not args.labels:
    raise InputError("--labels is missing: the file with the true classes")
  if args.dataset:
    others = ["labels"] * bool(args.labels) + sorted(capture_flags.given())
    if others:
      raise InputError(
        f"--{', --'.join(others)}: only for --captures; a dataset already consists of "
        "labelled flows, so leave this out"
      )


def _of_captures(
  predictor: "Predictor",
  points: list[int],
  paths: list[pathlib.Path],
  labels: Labels,
) -> "tuple[Observations, list[str]]":
  """The answers for the flows of captures, and notices about these flows."""
  from mtl_traffic.serving import observations

  rules = capture_flags.rules_of_model(
    predictor.description.rules, predictor.k, captures.DEFAULT_RULES.reorder_s
  )
  accounts, batches, without = captures.Accounts(), [], {}
  size = sum(path.stat().st_size for path in paths)
  with tqdm.tqdm(total=size, unit="B", unit_scale=True, delay=1) as bar:
    for chain in capture_flags.chains(paths):
      begun, one = bar.n, captures.Accounts()

      def told(position: int, begun: int = begun) -> None:
        bar.update(begun + position - bar.n)

      for captured in captures.read_flows(chain, one, rules, told):
        flows = labels.apply(captured, one)
        batches.append(
          observations.observe(
            predictor,
            flows,
            clients=captured.client_addresses,
            came_to_end=~np.isin(captured.end_reasons, CUT_OFF),
            points=points,
            threshold=flags.FLAGS.threshold,
          )
        )
        for index in flows.partitions[flows.classes < 0].tolist():
          name = flows.partition_names[index]
          without[name] = without.get(name, 0) + 1
      accounts.add(one)
  for notice in accounts.notices:
    logging.warning("%s", notice)
  observed = observations.join(batches) if batches else ()
  if not len(observed):
    raise InputError(
      f"--labels: {flags.FLAGS.labels}: no label matches any of the "
      f"{accounts.num_flows} flows of {capture_flags.listed([p.name for p in paths])}"
    )
  notices = list(accounts.warnings)
  if without:
    notices.append(
      f"{sum(without.values())} of {accounts.num_flows} flows have no label and are "
      f"left out; they are in {capture_flags.listed(without)}"
    )
  return observed, notices + capture_flags.unused_labels(labels, accounts, paths)


def _of_dataset(
  predictor: "Predictor", points: list[int]
) -> "tuple[str, Observations, list[str]]":
  """The name of a dataset, the answers for its flows, and notices about these flows."""
  from mtl_traffic.serving import observations

  dataset = flags.FLAGS.dataset
  with cli.naming("--dataset"):
    name, flows = cli.load_flows(dataset, predictor.k)
    rules = data.rules_of(dataset)
    texts = data.texts_of(dataset, ("client_address", "end_reason"))
  num_unlabelled = int((flows.classes < 0).sum())
  if num_unlabelled == len(flows):
    raise InputError(f"--dataset: {dataset}: no flow has a label; give it labels")
  clients, reasons = texts.get("client_address"), texts.get("end_reason")
  cut_off = [END_REASON_NAMES[reason] for reason in CUT_OFF]
  came_to_end = None if reasons is None else ~np.isin(np.array(reasons, str), cut_off)
  batches = []
  with tqdm.tqdm(total=len(flows), unit=" flows", unit_scale=True, delay=1) as bar:
    for start in range(0, len(flows), _FLOWS_AT_ONCE):
      some = slice(start, start + _FLOWS_AT_ONCE)
      batches.append(
        observations.observe(
          predictor,
          flows[some],
          clients=clients and clients[some],
          came_to_end=None if came_to_end is None else came_to_end[some],
          points=points,
          threshold=flags.FLAGS.threshold,
        )
      )
      bar.update(len(flows[some]))
  notices = predictor.description.differences(rules)
  if num_unlabelled:
    notices.append(
      f"{num_unlabelled} of {len(flows)} flows have no label and are left out"
    )
  return name, observations.join(batches), notices


def _of_classes(observed: "Observations") -> list[str]:
  """Notices about classes that only the labels or only the model have."""
  there = set(observed.tasks["class"].truth.tolist())
  names, num_known = observed.class_names, observed.num_known
  foreign = [names[i] for i in sorted(there) if i >= num_known]
  absent = [name for i, name in enumerate(names[:num_known]) if i not in there]
  return [
    f"{what}: {capture_flags.listed(classes)}"
    for what, classes in (
      ("the model does not know these classes; their flows count as errors", foreign),
      ("the model knows these classes, but no flow has them", absent),
    )
    if classes
  ]
