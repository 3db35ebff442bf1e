"""What is written down twice says the same, and what documents point to is there."""

import pathlib
import re

import pytest

import mtl_traffic

ROOT = pathlib.Path(__file__).parents[1]
# Documents that people read; those in folders of their own are tests' and tools'.
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LONGEST = {"README.md": 150, "BUILD_NOTES.md": 200}


def anchors(document: pathlib.Path) -> set[str]:
  """What a document's headings are called in links."""
  headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
  lower = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
  return {re.sub(r"[\s-]+", "-", heading.strip()) for heading in lower}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_links_point_to_something(document):
  for link in _LINK.findall(_CODE.sub("", document.read_text())):
    if re.match(r"[a-z]+:", link):
      continue
    path, _, anchor = link.partition("#")
    target = document.parent / path if path else document
    assert target.exists(), link
    if anchor:
      assert anchor in anchors(target), link


@pytest.mark.parametrize(("name", "most"), _LONGEST.items())
def test_what_everybody_reads_is_short(name, most):
  assert len((ROOT / name).read_text().splitlines()) <= most


def test_the_version_is_the_same_everywhere():
  version = mtl_traffic.__version__
  citation = (ROOT / "CITATION.cff").read_text()
  assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [version]
  changes = (ROOT / "CHANGELOG.md").read_text()
  released = re.search(r"^## (\d\S*) \((\d{4}-\d\d-\d\d)\)$", changes, re.MULTILINE)
  assert released[1] == version
  assert f"date-released: {released[2]}\n" in citation


def test_linters_are_those_of_pre_commit():
  hooks = (ROOT / ".pre-commit-config.yaml").read_text()
  makefile = (ROOT / "Makefile").read_text()
  for command in ("ruff check", "ruff format --check", "mypy"):
    assert command in hooks and command in makefile


def test_slow_tests_are_tests():
  for line in (ROOT / "tests" / "slow.txt").read_text().splitlines():
    path, _, name = line.partition("[")[0].partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(), line
