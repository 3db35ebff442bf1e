"""`docs/model.md` names each field of a model's file, and no other."""

import json
import pathlib
import re

from mtl_traffic.data.captures import DEFAULT_RULES
from mtl_traffic.serving import checkpoints
from tests.serving.model_maker import make_model

PAGE = pathlib.Path(__file__).parents[2] / "docs/model.md"


def test_each_field_is_documented(tmp_path):
  checkpoints.save(tmp_path, *make_model())
  content = json.loads((tmp_path / "model.json").read_text())
  _, fields, rules = re.split(r"\| (?:field|rule) \| type \|", PAGE.read_text())
  assert re.findall(r"^\| `(\w+)` \|", fields, re.MULTILINE) == list(content)
  assert re.findall(r"^\| `(\w+)` \|", rules, re.MULTILINE) == list(
    DEFAULT_RULES.shared
  )
  assert f"| `format` | {content['format']} |" in fields
