"""Pages of text, tables and figures, as Markdown and as HTML."""

import pathlib
import re

import pytest
from markdown.extensions import toc
from matplotlib.figure import Figure

from mtl_traffic import files, pages
from mtl_traffic.comparison.catalogue import EXPERIMENTS
from mtl_traffic.pages import Folded, Heading, Shown


def _html(parts, folder=pathlib.Path(), **options):
  return pages.html(parts, folder, "t", **options).split("<body>")[1]


def test_contents_lead_to_headings():
  parts = [Heading("Top", 1), Heading("One (a, b)"), Heading("Two"), Heading("x", 3)]
  text = pages.contents(parts)
  assert text == "- [One (a, b)](#one-a-b)\n- [Two](#two)"
  html = _html([text, *parts])
  assert re.findall('href="#(.*?)"', html) == ["one-a-b", "two"]
  assert {"one-a-b", "two"} <= set(re.findall('id="(.*?)"', html))
  assert pages.markdown(parts).startswith("# Top\n\n## One (a, b)\n\n")


def test_anchors_are_those_of_mkdocs():
  for experiment in EXPERIMENTS.values():
    assert Heading(experiment.title).anchor == toc.slugify(experiment.title, "-")


@pytest.mark.parametrize(
  "link",
  ["#elsewhere", "javascript:alert(1)", "https://a.example", "other.md", "//a", ""],
)
def test_a_link_to_anywhere_else_is_none(link):
  html = _html([Heading("Here"), f"[text]({link}) [here](#here)"])
  assert "text" in html and re.findall('href="(.*?)"', html) == ["#here"]


def test_links_to_pages_beside_lead_to_their_html():
  html = _html(["[one](one.md) [two](two.md)"], beside=["one.md"])
  assert re.findall('href="(.*?)"', html) == ["one.html"]


def test_what_is_folded_is_there():
  parts = [Folded("More & more", ["| a |\n| - |\n| 1 |", Folded("Inside", ["deep"])])]
  html = _html(parts)
  assert html.count("<details>") == html.count("</details>") == 2
  assert "<summary>More &amp; more</summary>" in html and "<td>1</td>" in html
  text = pages.markdown(parts)
  assert text.index("**More & more**") < text.index("| 1 |") < text.index("deep")


@pytest.mark.parametrize(("inches", "is_wide"), [(5.2, False), (9, True)])
def test_a_figure_is_as_wide_as_in_print_and_scrolled_if_that_is_much(
  tmp_path, inches, is_wide
):
  files.write_figure(tmp_path / "a.png", Figure(figsize=(inches, 2)))
  html = _html([Shown("<b>", "a.png")], tmp_path)
  assert f'width="{round(96 * inches)}"' in html and 'alt="&lt;b&gt;"' in html
  assert ('<figure class="wide">' in html) == is_wide
