"""Type checkers know what the package's names are."""

import pathlib

import pytest

import mtl_traffic
from tests import pages

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def check(tmp_path_factory):
  reason = "the extra test brings the type checker"
  api = pytest.importorskip("mypy.api", reason=reason)
  folder = tmp_path_factory.mktemp("types")

  def check(code: str) -> str:
    (folder / "code.py").write_text(code)
    options = ["--config-file=", f"--cache-dir={folder / 'cache'}"]
    options += ["--follow-imports=silent", "--ignore-missing-imports"]
    said, _, _ = api.run([*options, str(folder / "code.py")])
    return said

  return check


def test_the_readme_is_of_the_right_types(check, monkeypatch):
  monkeypatch.setenv("MYPYPATH", str(ROOT))
  found = pages.blocks((ROOT / "README.md").read_text())
  (code,) = (block.code for block in found if block.kind == "python")
  assert check(code).startswith("Success"), check(code)


def test_a_wrong_type_is_found(check, monkeypatch):
  monkeypatch.setenv("MYPYPATH", str(ROOT))
  said = check('import mtl_traffic as mtl\n\nmtl.load("simulated", max_packets="60")\n')
  assert 'has incompatible type "str"; expected "int | None"' in said


def test_type_checkers_and_python_see_the_same_names():
  source = pathlib.Path(mtl_traffic.__file__).read_text()
  of_checkers = source.partition("if TYPE_CHECKING:")[2].partition("\n\n")[0]
  for name in set(mtl_traffic.__all__) - {"__version__"}:
    assert f"{name} as {name}" in of_checkers
  assert of_checkers.count(" as ") == len(mtl_traffic.__all__) - 1
