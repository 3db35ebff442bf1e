"""Pages of text, tables and figures, as Markdown and as one self-contained HTML file.

Names are shown as text and never interpreted. All markup of a page comes from this
module. Its only images are the figures. Its links lead to its own headings, or to the
pages beside it. It runs no scripts.
"""

import base64
import dataclasses
import hashlib
import html as html_lib
import pathlib
import re
import struct
import xml.etree.ElementTree as etree
from collections.abc import Iterator, Sequence

import markdown as markdown_lib
from markdown.treeprocessors import Treeprocessor

from mtl_traffic.escapes import for_markdown
from mtl_traffic.files import DPI

_CSS_DPI = 96
_WIDE = 520  # Pixels; wider figures are illegible when shrunk to a telephone's width.


@dataclasses.dataclass(frozen=True)
class Heading:
  """A heading, which the table of contents and links can lead to.

  Attributes:
    text: the heading in plain words, because its anchor is made from it.
    level: 1 is the page's title; the table of contents lists level 2.
  """

  text: str
  level: int = 2

  @property
  def anchor(self) -> str:
    """The anchor, formed as on GitHub and in MkDocs."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", self.text)).strip("-").lower()

  def link(self, text: str = "") -> str:
    return f"[{text or for_markdown(self.text)}](#{self.anchor})"

  def markdown(self) -> str:
    return f"{'#' * self.level} {for_markdown(self.text)}"

  def html(self, page: "_Page") -> str:
    text = html_lib.escape(self.text)
    return f'<h{self.level} id="{self.anchor}">{text}</h{self.level}>'


@dataclasses.dataclass(frozen=True)
class Shown:
  """A figure of a page.

  Attributes:
    title: what the figure shows.
    name: the figure's file, relative to the page's folder.
  """

  title: str
  name: str

  def markdown(self) -> str:
    return f"![{for_markdown(self.title)}]({self.name})"

  def html(self, page: "_Page") -> str:
    content = (page.folder / self.name).read_bytes()
    data = base64.b64encode(content).decode()
    # As wide as in print. On a telephone, wide figures scroll instead of shrinking.
    (width,) = struct.unpack(">I", content[16:20])
    width = round(width * _CSS_DPI / DPI)
    title = html_lib.escape(self.title)
    return (
      f'<figure{_WIDE_CLASS * (width > _WIDE)}><img alt="{title}" width="{width}" '
      f'src="data:image/png;base64,{data}"><figcaption>{title}</figcaption></figure>'
    )


@dataclasses.dataclass(frozen=True)
class Folded:
  """Parts that are hidden until the reader clicks on their title.

  Attributes:
    title: the title.
    parts: the hidden parts.
  """

  title: str
  parts: Sequence["Part"]

  def markdown(self) -> str:
    # Markdown has no folding that every viewer understands.
    return f"**{for_markdown(self.title)}**\n\n" + _joined(self.parts)

  def html(self, page: "_Page") -> str:
    title, inside = html_lib.escape(self.title), page.bodies(self.parts)
    return f"<details><summary>{title}</summary>\n{inside}\n</details>"


# Text as Markdown, or one of the classes above.
Part = str | Heading | Shown | Folded


def contents(parts: Sequence[Part]) -> str:
  """A table of contents: links to the headings of level 2."""
  headings = [one for one in parts if isinstance(one, Heading) and one.level == 2]
  return "\n".join(f"- {heading.link()}" for heading in headings)


def markdown(parts: Sequence[Part]) -> str:
  """A page as Markdown; its figures are separate files."""
  return _joined(parts) + "\n"


def html(
  parts: Sequence[Part],
  folder: pathlib.Path,
  title: str,
  beside: Sequence[str] = (),
) -> str:
  """A page as HTML, with its figures embedded.

  Args:
    parts: the parts of the page.
    folder: the folder of the page, with the files of its figures.
    title: the title of the browser's window.
    beside: names of other Markdown pages in the folder; links to them lead to their
      HTML instead.
  """
  anchors = {f"#{one.anchor}": f"#{one.anchor}" for one in _headings(parts)}
  pages = {name: str(pathlib.PurePath(name).with_suffix(".html")) for name in beside}
  body = _Page(folder, anchors | pages).bodies(parts)
  head = _HEAD.format(title=html_lib.escape(title), policy=_POLICY, style=_STYLE)
  return f"{head}{body}\n</body></html>\n"


class _Page:
  """Converts parts to HTML, without Markdown's raw HTML, images and foreign links.

  Attributes:
    folder: the folder with the files of figures.
  """

  def __init__(self, folder: pathlib.Path, links: dict[str, str]):
    self.folder = folder
    self._converter = markdown_lib.Markdown(extensions=["tables"])
    self._converter.preprocessors.deregister("html_block")
    for pattern in _FOREIGN:
      self._converter.inlinePatterns.deregister(pattern)
    self._converter.treeprocessors.register(_OwnLinks(links), "own_links", 0)

  def bodies(self, parts: Sequence[Part]) -> str:
    return "\n".join(
      self._converter.reset().convert(part)
      if isinstance(part, str)
      else part.html(self)
      for part in parts
    )


class _OwnLinks(Treeprocessor):
  """Removes all links except those to the given targets."""

  def __init__(self, links: dict[str, str]):
    super().__init__()
    self._links = links

  def run(self, root: etree.Element) -> None:
    for link in list(root.iter("a")):
      target = self._links.get(link.get("href", ""))
      link.attrib.clear()
      if target:
        link.set("href", target)
      else:
        link.tag = "span"


def _joined(parts: Sequence[Part]) -> str:
  texts = [part if isinstance(part, str) else part.markdown() for part in parts]
  return "\n\n".join(text.strip() for text in texts if text.strip())


def _headings(parts: Sequence[Part]) -> Iterator[Heading]:
  for part in parts:
    if isinstance(part, Heading):
      yield part
    elif isinstance(part, Folded):
      yield from _headings(part.parts)


_FOREIGN = (
  "html",
  "reference",
  "short_reference",
  "image_link",
  "image_reference",
  "short_image_ref",
  "autolink",
  "automail",
)
_WIDE_CLASS = ' class="wide"'
_STYLE = """
body { font: 15px/1.5 sans-serif; margin: 1.5em auto; max-width: 75em; padding: 0 1em;
  overflow-wrap: anywhere }
h1 { font-size: 1.6em; line-height: 1.25 }
h2 { border-top: 1px solid #ccc; font-size: 1.25em; margin-top: 2em;
  padding-top: 0.8em }
p, li { max-width: 48em }
table { border-collapse: collapse; display: block; margin: 1em 0; overflow-x: auto }
th, td { border: 1px solid #ccc; overflow-wrap: normal; padding: 0.2em 0.6em;
  text-align: left; vertical-align: top }
th { background: #f4f4f4 }
td { font-variant-numeric: tabular-nums }
td:not(:first-child), th { white-space: nowrap }
td:first-child { min-width: 8em }
figure { display: inline-block; margin: 1em 1em 1em 0; max-width: 100%;
  vertical-align: top }
figcaption { color: #555; font-size: 13px; max-width: 36em }
img { height: auto; max-width: 100% }
.wide { overflow-x: auto }
.wide img { max-width: none }
details { margin: 1em 0 }
summary { color: #0050a0; cursor: pointer }
"""
# The browser may use this style and embedded images, but load nothing else.
_POLICY = (
  "default-src 'none'; img-src data:; style-src 'sha256-"
  + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
  + "'"
)
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title><style>{style}</style></head><body>
"""
