"""Tests of `mtl_traffic.serving.card`: what whoever is given a model is told."""

import re

import numpy as np
import pytest

from mtl_traffic import draws
from mtl_traffic.errors import InputError
from mtl_traffic.inputs import Inputs
from mtl_traffic.runs import label_budgets
from mtl_traffic.serving import card, checkpoints
from mtl_traffic.settings import Settings
from tests.serving.model_maker import make_model

DATA = {"dataset": "flows", "flows": 90}


def test_facts_are_those_of_the_model():
  description, _ = make_model(
    k=8, min_packets=4, data=DATA, rules={"payload_lengths": True, "tcp_idle_s": 60.0}
  )
  facts = dict(card.facts(description))
  assert facts["method"] == "multitask"
  assert facts["reads"].endswith("lengths (of payload) of 8 packets")
  assert facts["answers after"].startswith("8 packets")
  assert facts["trained on"].startswith("flows of 4 packets or more")
  assert facts["class"] == "3 classes: a, b, c"
  assert facts["duration"] == "2 classes: under 2.5 s, from 2.5 s"
  assert facts["data, flows"] == "90" and facts["flows, tcp_idle_s"] == "60.0"
  assert facts["temperature, class"] == "2"
  prefixes, _ = make_model(k=8, shortest_prefix=3)
  assert dict(card.facts(prefixes))["answers after"].startswith("3 to 8 packets")


def test_the_card_says_what_it_is_how_it_was_tested_and_what_it_is_not_for(tmp_path):
  description, _ = make_model(data=DATA)
  card.write(tmp_path, description, "93.1 % right.\n")
  text = (tmp_path / "README.md").read_text()
  headings = re.findall("^## (.*)", text, re.MULTILINE)
  assert headings == [
    "What it is, and its data",
    "Labels and classes",
    "How it was tested",
    "What it is not for",
  ]
  assert "## How it was tested\n\n93.1 % right.\n\n##" in text
  assert "Bandwidth and duration need no label" in text
  single, _ = make_model(method="single_task")
  assert "need no label" not in card.text(single, "")


def test_names_of_the_data_are_shown_and_not_obeyed():
  names = ("<img src=x>", "[a](http://x)", "c|d\n## e\x1b[2J")
  description, _ = make_model(class_names=names, data={"dataset": "<b>`x`"})
  text = card.text(description, "")
  assert "<img" not in text and "<b>" not in text and "\x1b" not in text
  assert not re.search(r"(?<!\\)\]\(", text) and "\n## e" not in text
  (row,) = [line for line in text.splitlines() if line.startswith("| class ")]
  assert len(re.findall(r"(?<!\\)\|", row)) == 3


def test_data_are_the_draws(flows):
  settings = Settings(
    methods=("multitask",),
    train_partition="all",
    labels_per_class=(5,),
    k=8,
    test_per_class=6,
    validation_per_class=4,
    num_seeds=1,
  )
  (run,) = label_budgets(settings)
  flows = flows.replace(classes=np.where(np.arange(90) < 6, -1, flows.classes))
  inputs = Inputs(settings, flows, [run])
  draw = next(draws.each_run(inputs.draw([run])))
  assert card.data("mine", inputs, draw) == {
    "dataset": "mine",
    "flows": 90,
    "flows with a class": 84,
    "training flows": 90 - 18 - 12,
    "labelled training flows": 15,
    "validation flows": 12,
    "test flows": 18,
  }


def test_a_model_keeps_what_its_data_were(tmp_path):
  description, parameters = make_model(data=DATA)
  checkpoints.save(tmp_path / "a", description, parameters)
  assert checkpoints.load(tmp_path / "a")[0].data == DATA


@pytest.mark.parametrize("data", [{"a": ["b"]}, {"a": "b" * 2000}, {"a": None}])
def test_data_that_no_training_writes_are_refused(tmp_path, data):
  description, parameters = make_model(data=data)
  checkpoints.save(tmp_path / "a", description, parameters)
  with pytest.raises(InputError, match=r"data is .*must be texts and numbers by name"):
    checkpoints.load(tmp_path / "a")
