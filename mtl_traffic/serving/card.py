"""What a model is, for whoever is given it: a card beside it, `README.md`.

Names come from the data, and are shown and never obeyed.
"""

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mtl_traffic import files, tables
from mtl_traffic.draws import Draw
from mtl_traffic.inputs import Inputs
from mtl_traffic.serving.checkpoints import Description

_NOT_FOR = """\
- Traffic unlike its data: of other networks, devices, applications, versions or years.
  How right it is there, `mtl-traffic evaluate` on labelled captures tells, and nothing
  else.
- Classes that it does not know. Their flows are taken for one of its classes, or for
  `unknown` where a threshold is set and they are less certain than that.
- Flows that were made by other rules, of time-outs or lengths, than those above.
- Traffic shaped so that a classifier is wrong. It detects no attack.
- Decisions about people. A class is a guess from lengths, times and directions of
  packets, and says nothing of who sent them or why.
- Probabilities as facts. They are calibrated on flows like those it learnt from."""


def data(dataset: str, inputs: Inputs, draw: Draw) -> dict[str, object]:
  """What a model was trained and tested on, as its description keeps it.

  Args:
    dataset: its name.
    inputs: its flows.
    draw: the model's.
  """
  counts = {
    "training flows": len(draw.train),
    "labelled training flows": int(draw.num_labelled),
    "validation flows": len(draw.validation),
    "test flows": len(draw.test),
  }
  labelled = int(np.count_nonzero(inputs.flows.classes >= 0))
  return {
    "dataset": dataset,
    "flows": len(inputs.flows),
    "flows with a class": labelled,
    **counts,
  }


def facts(description: Description) -> Iterator[tuple[str, str]]:
  """What a model is, a name and a value at a time; names of classes are as they are."""
  yield "method", description.method
  k, shortest = description.k, description.shortest_prefix
  lengths = "payload" if description.rules["payload_lengths"] else "IP packets"
  yield "reads", f"times, directions and lengths (of {lengths}) of {k} packets"
  able = f"{k}" if shortest == k else f"{shortest} to {k}"
  yield "answers after", f"{able} packets, or when a flow ends before"
  fewest = description.min_packets
  yield "trained on", f"flows of {fewest} packets or more; fewer are answered unknown"
  for task, names in description.names().items():
    yield task, f"{len(names)} classes: {', '.join(names)}"
  for name, value in description.data.items():
    yield f"data, {name}", str(value)
  for name, value in description.rules.items():
    yield f"flows, {name}", str(value)
  for task, temperature in description.temperatures.items():
    yield f"temperature, {task}", f"{temperature:.3g}"


def write(folder: str | os.PathLike, description: Description, report: str) -> None:
  """Writes the card of a model to its folder.

  Args:
    folder: the model's.
    description: what the model is.
    report: how it was tested, as Markdown.
  """
  files.write_text(pathlib.Path(folder) / "README.md", text(description, report))


def text(description: Description, report: str) -> str:
  """The card, as Markdown."""
  tasks = [task for task in description.names() if task != "class"]
  measured = ""
  if tasks:
    measured = (
      f" {' and '.join(tasks).capitalize()} need no label: they are what the whole "
      "flow came to, cut into classes at the values between their names."
    )
  return f"""\
# A model of network traffic

It tells the class of a network flow from its first packets. Its files are `model.json`,
which says all of this for programs, and `parameters/`. `mtl-traffic info` checks them.
Loading it runs no code of it.

    mtl-traffic predict --model=FOLDER --captures=capture.pcap --out=answers.jsonl

## What it is, and its data

{tables.markdown_table(["what", "value"], facts(description))}
Where a rule of flows is `None`, it does not hold.

## Labels and classes

The class of a flow is the label that the dataset gives it.{measured}

## How it was tested

{report.strip()}

## What it is not for

{_NOT_FOR}
"""
