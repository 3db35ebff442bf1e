"""Runs the commands and the code of a page of the documentation, as a reader would.

Blocks of a page are run in their order, in one folder:

- `sh` is run by bash, `python` is run with the names of the blocks before it;
- a block with a title, ```` ```python title="name.py" ````, is written to that file;
- `text` right after a block is its expected output. Numbers may differ, because they
  depend on the machine, and a line `...` stands for any lines;
- a block right after a line `<!-- not run: REASON -->` is not run.

    UPDATE_PAGES=1 python -m pytest tests/test_pages.py

updates the output in the pages, except output that contains a line `...`.
"""

import contextlib
import dataclasses
import io
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
_BLOCK = re.compile(
  r"^(?P<skip><!-- not run: [^\n]+ -->\n)?"
  r"```(?P<kind>\w+)(?: title=\"(?P<title>[^\n]+)\")?\n"
  r"(?P<code>.*?)^```$",
  re.DOTALL | re.MULTILINE,
)
_NUMBER = re.compile(r"[-+−]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?|\bnan\b")


@dataclasses.dataclass(frozen=True)
class Block:
  """A block of code, or the expected output of the block before it (kind "text").

  Attributes:
    span: start and end of its code in the page.
  """

  kind: str
  title: str | None
  code: str
  is_run: bool
  span: tuple[int, int]


def blocks(text: str) -> list[Block]:
  """The blocks of a page in their order."""
  return [
    Block(
      found["kind"],
      found["title"],
      found["code"],
      not found["skip"],
      found.span("code"),
    )
    for found in _BLOCK.finditer(text)
  ]


def write_files(page: pathlib.Path, folder: pathlib.Path) -> None:
  """Writes the titled blocks of a page to their files."""
  for block in blocks(page.read_text()):
    if block.title:
      (folder / block.title).write_text(block.code)


def run(page: pathlib.Path, folder: pathlib.Path, update: bool = False) -> None:
  """Runs a page in a folder and checks its output; updates the page if `update`.

  Raises:
    AssertionError: a block fails, or its output differs from that in the page.
  """
  text = page.read_text()
  found, scope, printed = blocks(text), {}, []
  with contextlib.chdir(folder):
    for block, after in zip(found, [*found[1:], None], strict=True):
      if block.title:
        pathlib.Path(block.title).write_text(block.code)
      elif block.is_run and block.kind in ("sh", "python"):
        output = (
          _shell(block.code) if block.kind == "sh" else _python(block.code, scope)
        )
        if after and after.kind == "text":
          printed.append((after, output))
  if update:
    page.write_text(_updated(text, printed))
    return
  for said, output in printed:
    assert fits(said.code, output), f"{page.name} says:\n{said.code}\nbut:\n{output}"


def fits(said: str, output: str) -> bool:
  """Whether output equals that in a page, except for numbers and widths of columns."""
  parts = re.split(r"^\.\.\.\n", said, flags=re.MULTILINE)
  return bool(
    re.fullmatch(
      ".*".join(map(re.escape, map(_plain, parts))), _plain(output), re.DOTALL
    )
  )


def _plain(text: str) -> str:
  lines = _NUMBER.sub("0", text).splitlines()
  return "".join(
    f"{re.sub(r'-{2,}', '--', ' '.join(line.split()))}\n" for line in lines
  )


def _shell(code: str) -> str:
  # Defines the installed commands, with the modules of this tree.
  command = (
    'mtl-traffic() { "$PYTHON" -m mtl_traffic "$@"; }\npython() { "$PYTHON" "$@"; }\n'
  )
  done = subprocess.run(
    ["bash", "-euo", "pipefail", "-c", command + code],
    env=os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
  return done.stdout


def _python(code: str, scope: dict) -> str:
  printed = io.StringIO()
  with contextlib.redirect_stdout(printed):
    exec(compile(code, "page", "exec"), scope)
  return printed.getvalue()


def _updated(text: str, printed: list[tuple[Block, str]]) -> str:
  for said, output in reversed(printed):
    if "...\n" not in said.code:
      start, end = said.span
      text = text[:start] + output.rstrip("\n") + "\n" * bool(output) + text[end:]
  return text
