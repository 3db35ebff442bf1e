"""Opens pages in headless Chromium and measures their layout."""

import html
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

import pytest

from mtl_traffic import charts, files

WIDTHS = (1400, 390)  # Pixels: a desktop and a telephone.
LEAST_TEXT = 9  # Pixels.
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
  not _CHROMIUM, reason="needs Chromium: apt-get install chromium"
)

# Runs in the outer page, because the measured pages allow no scripts.
_MEASURE = """
function measured(frame) {
  const seen = frame.contentDocument, view = frame.contentWindow;
  for (const one of seen.querySelectorAll("details")) one.open = true;
  const root = seen.documentElement, small = [], beyond = [];
  for (const one of seen.body.querySelectorAll("*")) {
    const box = one.getBoundingClientRect();
    const size = parseFloat(view.getComputedStyle(one).fontSize);
    const text = [...one.childNodes].some(n => n.nodeType == 3 && n.data.trim());
    if (text && size < LEAST) small.push([one.tagName, size]);
    if (one.tagName == "IMG") {
      const size = one.clientWidth / one.naturalWidth * TEXT;
      if (!(size >= LEAST)) small.push([one.alt, size]);
    }
    // Content that scrolls within its own box may be wider than the window.
    const boxed = one.parentElement.closest("table, .wide");
    if (!boxed && box.right > root.clientWidth + 0.5)
      beyond.push(one.outerHTML.slice(0, 80));
  }
  return {
    width: root.clientWidth, full: root.scrollWidth, height: root.scrollHeight,
    small: small, beyond: beyond,
    images: [...seen.images].map(i => [i.alt, i.clientWidth]),
    links: [...seen.links].map(a => a.getAttribute("href")),
    targets: [...seen.querySelectorAll("[id]")].map(one => one.id),
  };
}
const frames = [...document.querySelectorAll("iframe")];
let left = frames.length;
for (const frame of frames) {
  frame.onload = () => {
    if (!--left) document.title = JSON.stringify(frames.map(measured));
  };
  frame.srcdoc = frame.dataset.page;
}
"""


def measure(pages: Sequence[pathlib.Path]) -> tuple[dict, list[str]]:
  """Measures pages in windows of `WIDTHS`, with everything unfolded.

  Returns:
    Measurements by page and window width, and the messages on the browser's console.
    A measurement has `width` and `full`, the widths of the window and of its content;
    `height`; `small`, texts smaller than `LEAST_TEXT` pixels, in figures too; `beyond`,
    elements that are wider than the window; `images`, each with its width; `links`;
    and their possible `targets`.
  """
  shown = [(page, width) for page in pages for width in WIDTHS]
  script = _MEASURE.replace("LEAST", str(LEAST_TEXT))
  script = script.replace("TEXT", str(charts.POINTS / 72 * files.DPI))
  frames = "".join(_frame(page, width) for page, width in shown)
  outer = f"<!doctype html><title></title>{frames}<script>{script}</script>"
  done = _open(outer, "--dump-dom", "--enable-logging=stderr")
  title = re.search("<title>(.*?)</title>", done.stdout, re.DOTALL)
  assert title and title[1], done.stderr
  measured = json.loads(html.unescape(title[1]))
  console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
  return dict(zip(shown, measured, strict=True)), console


def photograph(page: pathlib.Path, width: int, height: int, out: pathlib.Path) -> None:
  """Writes a screenshot of a page as PNG, to look at by hand."""
  script = "const f = document.querySelector('iframe'); f.srcdoc = f.dataset.page"
  outer = f"<!doctype html><style>body {{ margin: 0 }}</style>{_frame(page, width)}"
  _open(
    outer.replace('height="900"', f'height="{height}"') + f"<script>{script}</script>",
    f"--screenshot={out}",
    f"--window-size={width},{height}",
  )


def _frame(page: pathlib.Path, width: int) -> str:
  """A page in a frame, because the browser's windows have a minimum width."""
  inner = html.escape(page.read_text(), quote=True)
  return (
    f'<iframe style="border: 0" width="{width}" height="900" data-page="{inner}">'
    "</iframe>"
  )


def _open(page: str, *flags: str) -> subprocess.CompletedProcess:
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "page.html"
    path.write_text(page)
    return subprocess.run(
      [
        _CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=10000",
        f"--user-data-dir={folder}/profile",
        *flags,
        path.as_uri(),
      ],
      capture_output=True,
      text=True,
      timeout=120,
    )
