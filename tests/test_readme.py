"""The README's example runs as it stands there."""

import pathlib
import re

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_the_library_example_runs():
  (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
  scope = {}
  exec(compile(example, str(README), "exec"), scope)
  assert set(scope["losses"]) == {"bandwidth", "duration", "class"}
  assert scope["predicted"].shape == (4, len(scope["flows"]))
