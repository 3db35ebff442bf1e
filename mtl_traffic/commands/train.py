"""Trains a model for `mtl-traffic predict` and `mtl_traffic.load_model`.

    mtl-traffic train --config=own_captures --dataset=flows.parquet --workdir=model

The seed `config.first_seed` draws training, validation and test flows. All labels are
used unless `--config.labels_per_class` is given. Validation flows choose the epoch and
calibrate the probabilities. The report is measured on the test flows and on other
partitions. Writes the model, its model card (`README.md`), `report.md` and
`calibration.png` to the work directory. A single draw gives no intervals; `--draws=10`
trains on ten draws for the report.

With all labels, the method is then trained again on all flows, test flows included, and
that model is saved. `--norefit` saves the tested model instead. Networks are not
trained again, because validation flows choose their epoch.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

from absl import flags
from tqdm import tqdm

from mtl_traffic import data, files
from mtl_traffic.commands import cli
from mtl_traffic.errors import InputError
from mtl_traffic.runs import Run, label_budgets
from mtl_traffic.settings import ALL, Settings

USES_JAX = True


def define_flags() -> None:
  cli.define_config("simulated")
  cli.define_dataset()
  cli.define_required("workdir", "where the model goes")
  flags.DEFINE_string(
    "method", "whole_flow_distillation", "The name of the method to train."
  )
  flags.DEFINE_integer(
    "ensemble",
    1,
    "Number of models whose probabilities are averaged; they share one split.",
    lower_bound=1,
  )
  flags.DEFINE_integer(
    "draws",
    1,
    "Number of draws of split and labels to train on for the report; the model of the "
    "first draw is saved.",
    lower_bound=1,
  )
  flags.DEFINE_bool(
    "refit",
    True,
    "After the test, train a model of all labels again on all flows, test and "
    "validation flows included. Networks are not trained again. --norefit saves the "
    "tested model.",
  )
  flags.DEFINE_integer(
    "shortest_prefix",
    None,
    "Train on prefixes of random length, so that the model can answer from this packet "
    "on and not only at the k-th; 0 = from config.shortest_prefix.",
    lower_bound=0,
  )


def main() -> None:
  # Imported here: they need JAX, and --help does not.
  from mtl_traffic import defaults
  from mtl_traffic.serving import checkpoints, trainer

  args = flags.FLAGS
  settings = cli.chosen_settings()
  # If the flows choose k, it is not known yet; checks use the largest possible one.
  run = _run(settings.replace(k=settings.k or defaults.MOST_PACKETS))
  trainer.check(run, settings, args.ensemble)
  workdir = pathlib.Path(args.workdir)
  with files.lock(workdir):
    checkpoints.check_absent(workdir)
    _train(settings, run, workdir)


def _train(settings: Settings, run: Run, workdir: pathlib.Path) -> None:
  """Trains on each draw; writes the model of the first and the report of all."""
  from mtl_traffic.inputs import Inputs
  from mtl_traffic.serving import card, checkpoints, quality, trainer

  args = flags.FLAGS
  from mtl_traffic import defaults

  dataset, flows = cli.load_flows(
    settings.dataset, max(run.k, settings.max_packets), settings.split_by
  )
  if not (flows.classes >= 0).any():
    raise InputError(
      f"{dataset}: no flow has a label, but a model needs two classes or more; give "
      "labels when you extract flows (mtl-traffic extract-flows --help)"
    )
  settings = defaults.of_flows(settings, flows)
  run = _run(settings)
  rules = data.rules_of(args.dataset or settings.dataset)
  _check_lengths(settings, dataset, rules)
  inputs = Inputs(settings, flows, [run])
  refits = args.refit and trainer.can_refit(run, settings)
  trained = []
  with tqdm(
    total=args.draws + refits,
    bar_format="{desc} {percentage:3.0f}%|{bar}| [{elapsed} < {remaining}]",
    desc=f"training {run.method}",
  ) as progress:

    def told(fraction: float) -> None:
      progress.update(len(trained) + fraction - progress.n)

    for number in range(args.draws):
      trained.append(
        trainer.train(
          settings,
          inputs,
          dataclasses.replace(run, seed=run.seed + number * args.ensemble),
          num_members=args.ensemble,
          rules=rules,
          progress=told,
        )
      )
    kept = trained[0]
    if refits:
      kept = trainer.refit(inputs, run, kept, progress=told)
  # The model is saved first, because it took longest.
  known = card.data(dataset, inputs, trained[0].draw)
  description = dataclasses.replace(kept.description, data=known)
  checkpoints.save(workdir, description, kept.parameters)
  report = quality.write(inputs, trained, workdir, refitted=refits)
  card.write(workdir, description, report)
  print(f"{report}\nThe model is in {workdir}/")


def _check_lengths(
  settings: Settings, dataset: str, rules: Mapping[str, object]
) -> None:
  """Raises an InputError if the settings contradict the dataset's own description."""
  is_told = settings.payload_lengths or cli.is_changed("payload_lengths")
  known = rules.get("payload_lengths", settings.payload_lengths)
  if is_told and known != settings.payload_lengths:
    of = "TCP and UDP payload" if known else "IP packets"
    raise InputError(
      f"--config.payload_lengths={settings.payload_lengths}: {dataset} has lengths of "
      f"{of}; leave the setting out"
    )


def _run(settings: Settings) -> Run:
  """The run that the flags and settings describe."""
  labels = settings.labels_per_class
  if not cli.is_changed("labels_per_class"):
    labels = (ALL,)
  if len(labels) != 1:
    raise InputError(
      f"--config.labels_per_class: {labels} has {len(labels)} values; give one, such "
      "as --config.labels_per_class=20"
    )
  settings = settings.replace(methods=(flags.FLAGS.method,), labels_per_class=labels)
  (run, *_) = label_budgets(settings)
  shortest = flags.FLAGS.shortest_prefix
  if shortest == 0:  # The setting, which may have been chosen by the flows.
    shortest = settings.shortest_prefix or 1
  return dataclasses.replace(run, shortest_prefix=shortest)
