"""The README's example runs as it stands there."""

import pathlib
import re

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_the_library_example_runs():
  text = README.read_text().partition("## The library")[2]
  (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  scope = {}
  exec(compile(example, str(README), "exec"), scope)
  assert set(scope["losses"]) == {"bandwidth", "duration", "class"}
  assert scope["predicted"].shape == (4, len(scope["flows"]))
