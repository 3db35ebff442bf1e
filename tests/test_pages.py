"""The commands of the README and the tutorials run and print what the pages show."""

import os
import pathlib

import pytest

from tests import pages

ROOT = pathlib.Path(__file__).parents[1]
CAPTURES = ROOT / "docs" / "own_captures.md"
UPDATE = bool(os.environ.get("UPDATE_PAGES"))
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize("page", [CAPTURES, *TUTORIALS], ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(page, tmp_path):
  pages.run(page, tmp_path, UPDATE)


def test_the_readme_does_what_it_says(tmp_path):
  pages.write_files(CAPTURES, tmp_path)  # make_captures.py
  pages.run(ROOT / "README.md", tmp_path, UPDATE)


def test_blocks_have_kinds_titles_and_reasons_not_to_run():
  text = (
    '```sh\nls\n```\n```text\na\n```\n\n```python title="x.py"\n1\n```\n'
    "<!-- not run: it needs root -->\n```sh\nreboot\n```\n"
  )
  found = [(b.kind, b.title, b.code, b.is_run) for b in pages.blocks(text)]
  assert found == [
    ("sh", None, "ls\n", True),
    ("text", None, "a\n", True),
    ("python", "x.py", "1\n", True),
    ("sh", None, "reboot\n", False),
  ]


@pytest.mark.parametrize(
  ("said", "output", "is_same"),
  [
    ("flows: 12\n", "flows: 7\n", True),
    ("| a | 1.25 |\n| --- | --- |\n", "| a    | 10.5 |\n| ---- | --- |\n", True),
    ("a\n...\nc\n", "a\nb\nb\nc\n", True),
    ("flows: 12\n", "packets: 12\n", False),
    ("a\n", "a\nb\n", False),
  ],
)
def test_numbers_and_widths_may_differ_and_words_may_not(said, output, is_same):
  assert pages.fits(said, output) is is_same


def test_a_page_that_says_otherwise_fails(tmp_path):
  page = tmp_path / "page.md"
  page.write_text("```python\nprint('yes')\n```\n```text\nno\n```\n")
  with pytest.raises(AssertionError, match="no"):
    pages.run(page, tmp_path)
