"""Pages of text, tables and figures, as Markdown and as one self-contained HTML file.

Names are shown as text and never interpreted: all markup of a page comes from this
module, its only images are the figures, and it runs no scripts.
"""

import base64
import dataclasses
import hashlib
import html as html_lib
import pathlib
from collections.abc import Sequence

import markdown as markdown_lib

from mtl_traffic.escapes import for_markdown


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

  def html(self, workdir: pathlib.Path) -> str:
    data = base64.b64encode((workdir / self.name).read_bytes()).decode()
    title = html_lib.escape(self.title)
    return f'<p><img alt="{title}" src="data:image/png;base64,{data}"></p>'


# A part is text in Markdown, or a figure.
Part = str | Shown


def markdown(parts: Sequence[Part]) -> str:
  """A page as Markdown that links its figures' files."""
  texts = [part if isinstance(part, str) else part.markdown() for part in parts]
  return "\n\n".join(text.strip() for text in texts) + "\n"


def html(parts: Sequence[Part], folder: pathlib.Path, title: str) -> str:
  """A page as HTML, with its figures embedded.

  Args:
    parts: the parts of the page.
    folder: the folder of the figures' files.
    title: the title of the browser's window.
  """
  converter = markdown_lib.Markdown(extensions=["tables"])
  # Removes tags, links and images: they could load something from elsewhere.
  converter.preprocessors.deregister("html_block")
  for pattern in _FOREIGN:
    converter.inlinePatterns.deregister(pattern)
  bodies = [
    converter.reset().convert(part) if isinstance(part, str) else part.html(folder)
    for part in parts
  ]
  head = _HEAD.format(title=html_lib.escape(title), policy=_POLICY, style=_STYLE)
  return head + "\n".join(bodies) + "\n</body></html>\n"


_FOREIGN = (
  "html",
  "link",
  "reference",
  "short_reference",
  "image_link",
  "image_reference",
  "short_image_ref",
  "autolink",
  "automail",
)
_STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border: 1px solid #ccc; padding: 0.2em 0.6em; text-align: left }
img { max-width: 100% }
"""
# The browser may use this style and embedded images, and load nothing else.
_POLICY = (
  "default-src 'none'; img-src data:; style-src 'sha256-"
  + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
  + "'"
)
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title><style>{style}</style></head><body>
"""
