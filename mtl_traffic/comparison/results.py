"""Reads all results below a folder: the rows of each dataset, by experiment."""

import dataclasses
import json
import pathlib

from absl import logging

from mtl_traffic import provenance
from mtl_traffic.comparison import row_schema
from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.comparison.rows import where
from mtl_traffic.comparison.workdir import read_config, read_rows
from mtl_traffic.errors import InputError
from mtl_traffic.runs import FIELDS, Run

_LONGEST_VALUE = 30  # In a title.


@dataclasses.dataclass(frozen=True)
class Results:
  """All results on one dataset with the same settings.

  Attributes:
    meaning: the settings that rows depend on but do not state themselves.
    paper: the paper's values.
    experiments: the rows of each experiment, in the order of the catalogue.
    calls: the calls that made the rows.
    versions: versions of packages, such as "jax 0.10.2".
    apart: the settings in which they differ from other results on the dataset.
  """

  meaning: dict
  paper: dict
  experiments: dict[str, list[dict]]
  calls: list[dict]
  versions: list[str]
  apart: str = ""

  @property
  def title(self) -> str:
    dataset, partition = self.meaning["dataset"], self.meaning["train_partition"]
    title = f"{dataset}, trained on {partition}"
    return f"{title} ({self.apart})" if self.apart else title

  def trained_on(self, experiment: str) -> list[dict]:
    """The rows that were tested on the partition that was trained on."""
    rows = self.experiments.get(experiment, [])
    return where(rows, partition=self.meaning["train_partition"])

  def pooled(self) -> list[dict]:
    """The rows of experiments by the paper's rules, under which it makes its claims.

    A run in several of them counts once.
    """
    found: dict[Run, dict] = {}
    for experiment in self.experiments:
      if EXPERIMENTS[experiment].by_papers_rules:
        for row in self.trained_on(experiment):
          found.setdefault(Run.of(row), row)
    return list(found.values())


def read(workdir: pathlib.Path) -> list[Results]:
  """Reads the results in and below a folder, grouped by dataset and settings.

  Raises:
    InputError: there are no results, or a row is invalid.
  """
  paths = sorted(config.parent for config in workdir.rglob("config.json"))
  done = [one for path in paths if (one := _read(path)) and one[1]]
  if not done:
    raise InputError(f"{workdir}: no results in or below it; run an experiment first")
  groups: dict[str, list[tuple[dict, list[dict]]]] = {}
  for config, rows in done:
    groups.setdefault(_comparable(config["meaning"]), []).append((config, rows))
  return _told_apart([_pooled(members) for members in groups.values()])


def _told_apart(found: list[Results]) -> list[Results]:
  """Sets `apart` of results whose titles are equal to the settings that differ."""
  told = []
  for one in found:
    others = [other for other in found if other.title == one.title]
    names = dict.fromkeys(name for other in others for name in other.meaning)
    apart = [
      f"{name} = {shown}"
      for name in names
      if any(other.meaning.get(name) != one.meaning.get(name) for other in others)
      and name not in ("experiment", *FIELDS)
      and len(shown := str(one.meaning.get(name))) <= _LONGEST_VALUE
    ]
    told.append(dataclasses.replace(one, apart=", ".join(apart)))
  return told


def _read(path: pathlib.Path) -> tuple[dict, list[dict]] | None:
  """The config and rows of a directory; None if it holds no experiment's results."""
  if not (path / "results.jsonl").exists():
    return None
  try:
    config = read_config(path)
    known = config["meaning"]["experiment"] in EXPERIMENTS
  except (InputError, KeyError, TypeError):
    known = False
  if not known:
    logging.warning("%s: left out, because no known experiment wrote it", path)
    return None
  rows = read_rows(path)
  for number, row in enumerate(rows, start=1):
    try:
      row_schema.check(row)
      _check_confusion(row, config["meaning"].get("classes"))
    except InputError as error:
      raise InputError(f"{path / 'results.jsonl'}, line {number}: {error}") from None
  return config, rows


def _check_confusion(row: dict, classes: object) -> None:
  """Raises an InputError if a row's confusion has the wrong number of classes."""
  counts = row["class_confusion"]
  if counts is not None and isinstance(classes, list) and len(counts) != len(classes):
    raise InputError(
      f"class_confusion has {len(counts)} classes, but config.json has {len(classes)}; "
      "remove the line to run it again"
    )


def _comparable(meaning: dict) -> str:
  """A key: directories with the same key can be compared row by row."""
  told_by_rows = {"experiment", *FIELDS}
  return json.dumps({n: v for n, v in meaning.items() if n not in told_by_rows})


def _pooled(members: list[tuple[dict, list[dict]]]) -> Results:
  experiments: dict[str, dict[tuple, dict]] = {name: {} for name in EXPERIMENTS}
  calls: list[dict] = []
  for config, rows in members:
    mine = experiments[config["meaning"]["experiment"]]
    for row in rows:
      mine.setdefault((Run.of(row), row["partition"]), row)
    for call in provenance.calls_of(config):
      calls = provenance.added(calls, call)
  order = list(EXPERIMENTS)
  first, _ = min(members, key=lambda one: order.index(one[0]["meaning"]["experiment"]))
  versions = {
    " ".join(item) for config, _ in members for item in config["versions"].items()
  }
  return Results(
    first["meaning"],
    first["paper"],
    {name: list(rows.values()) for name, rows in experiments.items() if rows},
    calls,
    sorted(versions),
  )
