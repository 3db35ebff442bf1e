"""Writes a model's card, `README.md`, which describes it to the people who use it.

Names come from the data; they are escaped before they are shown.
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
  Only `mtl-traffic evaluate` on labelled captures shows how accurate it is there.
- Classes that it does not know. It takes their flows for one of its classes, or for
  `unknown` if a threshold is set and they are less certain than that.
- Flows that were made by other rules, of time-outs or lengths, than those above.
- Traffic that was shaped to mislead a classifier. It does not detect attacks.
- Decisions about people. A class is a guess from lengths, times and directions of
  packets. It says nothing about who sent them, or why.
- Probabilities taken as facts. They are calibrated only on flows like its training
  flows."""


def data(dataset: str, inputs: Inputs, draw: Draw) -> dict[str, object]:
  """Describes the data that a model was trained and tested on, by name.

  Args:
    dataset: the name of the dataset.
    inputs: its flows.
    draw: the model's draw.
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
  """Yields the facts about a model, as name and value; class names are not escaped."""
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
    folder: the model's folder.
    description: the model's description.
    report: the test report, as Markdown.
  """
  files.write_text(pathlib.Path(folder) / "README.md", text(description, report))


def text(description: Description, report: str) -> str:
  """The card, as Markdown."""
  tasks = [task for task in description.names() if task != "class"]
  measured = ""
  if tasks:
    measured = (
      f" {' and '.join(tasks).capitalize()} need no label: they are measured on the "
      "whole flow, and divided into classes at the values in their names."
    )
  return f"""\
# A model of network traffic

It predicts the class of a network flow from its first packets. Its files are
`model.json`, which holds these facts for programs, and `parameters/`. `mtl-traffic
info` checks them. Loading the model runs no code from its files.

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
