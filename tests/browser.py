"""Opens pages in Chromium without a window, and measures what it shows."""

import html
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WHY_NOT = "needs Chromium: apt-get install chromium"
WIDTHS = (1400, 390)  # Pixels, of a desk and of a telephone.
LEAST_TEXT = 9  # Pixels.
_POINTS, _DPI = 10, 150  # Of figures' text.

# In the outer page, as the inner one runs no scripts.
_MEASURE = """
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
  // What scrolls within a box of its own may be wider than that.
  const boxed = one.parentElement.closest("table, .wide");
  if (!boxed && box.right > root.clientWidth + 0.5)
    beyond.push(one.outerHTML.slice(0, 80));
}
document.title = JSON.stringify({
  width: root.clientWidth, full: root.scrollWidth, height: root.scrollHeight,
  small: small, beyond: beyond,
  images: [...seen.images].map(i => [i.alt, i.naturalWidth, i.clientWidth]),
  links: [...seen.links].map(a => a.getAttribute("href")),
  targets: [...seen.querySelectorAll("[id]")].map(one => one.id),
});
"""


def measure(page: pathlib.Path, width: int) -> dict:
  """What a page looks like in a window of a width.

  Returns:
    `width` and `full`, how wide the window and what it shows are; `height`; `small`,
    texts below `LEAST_TEXT` pixels, of figures as well; `beyond`, what sticks out;
    `images`; `links` and their `targets`; `console`, what the browser complains of.
  """
  script = _MEASURE.replace("LEAST", str(LEAST_TEXT))
  script = script.replace("TEXT", str(_POINTS / 72 * _DPI))
  with tempfile.TemporaryDirectory() as folder:
    outer = pathlib.Path(folder) / "outer.html"
    outer.write_text(_outer(page, width, f"frame.onload = () => {{{script}}}"))
    done = _chromium(folder, "--dump-dom", "--enable-logging=stderr", outer.as_uri())
  title = re.search("<title>(.*?)</title>", done.stdout, re.DOTALL)
  assert title, done.stderr
  console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
  return {**json.loads(html.unescape(title[1])), "console": console}


def photograph(
  page: pathlib.Path, width: int, out: pathlib.Path, height: int = 3000
) -> None:
  """Writes what a window shows as PNG."""
  with tempfile.TemporaryDirectory() as folder:
    outer = pathlib.Path(folder) / "outer.html"
    outer.write_text(_outer(page, width, "", height))
    size = f"--window-size={width},{height}"
    _chromium(folder, f"--screenshot={out}", size, outer.as_uri())


def _outer(page: pathlib.Path, width: int, script: str, height: int = 900) -> str:
  """A page with the page in a frame, as windows have a least width of their own."""
  inner = html.escape(page.read_text(), quote=True)
  return (
    "<!doctype html><title></title><style>body { margin: 0 }</style>"
    f'<iframe id="frame" style="border: 0" width="{width}" height="{height}"></iframe>'
    f'<template id="page" data-page="{inner}"></template>'
    f"<script>const frame = document.getElementById('frame');{script}\n"
    "frame.srcdoc = document.getElementById('page').dataset.page</script>"
  )


def _chromium(folder: str, *args: str) -> subprocess.CompletedProcess:
  command = [
    CHROMIUM,
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--virtual-time-budget=10000",
    f"--user-data-dir={folder}/profile",
    *args,
  ]
  return subprocess.run(command, capture_output=True, text=True, timeout=120)
