"""Generates pages of the site from the code and from documents outside `docs/`.

- A mark such as `<!-- settings -->` in a page becomes a list of what the code has; the
  marks are those of `LISTS`.
- Pages of `PAGES` are documents of the project's folder, with links turned to the site.
"""

import ast
import importlib
import pathlib
import posixpath
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
# Pages of the site that are documents beside docs/.
PAGES = {
  "index.md": "README.md",
  "explanation/decisions.md": "BUILD_NOTES.md",
  "project/changelog.md": "CHANGELOG.md",
  "project/contributing.md": "CONTRIBUTING.md",
}
_PAGE_OF = {document: page for page, document in PAGES.items()}
_PAGE_OF["SECURITY.md"] = "security.md"
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_page_markdown(markdown: str, page, **_) -> str:
  """The text of a page, with documents and generated lists inserted."""
  path = page.file.src_uri
  if path in PAGES:
    markdown = (ROOT / PAGES[path]).read_text()
  for mark, made in LISTS.items():
    if mark in markdown:
      markdown = markdown.replace(mark, made())
  # A document's links start from the project's folder, a page's from its own.
  start = "" if path in PAGES else posixpath.join("docs", posixpath.dirname(path))
  # Code has brackets of its own.
  parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
  parts[::2] = [
    _LINK.sub(lambda link: _on_the_site(link, path, start), part) for part in parts[::2]
  ]
  return "".join(parts)


def _on_the_site(link: re.Match, path: str, start: str) -> str:
  """A link with its target on the site; just its text if the site lacks the target."""
  mark, text, target = link.groups()
  if re.match(r"[a-z]+:|#", target):
    return link[0]
  target, hash_, anchor = target.partition("#")
  target = posixpath.normpath(posixpath.join(start, target))
  if target in _PAGE_OF:
    target = _PAGE_OF[target]
  elif target.startswith("docs/"):
    target = target.removeprefix("docs/")
  elif (ROOT / target).exists():
    return text if mark else f"{text} (`{target}`)"
  relative = posixpath.relpath(target, posixpath.dirname(path) or ".")
  return f"{mark}[{text}]({relative}{hash_}{anchor})"


def settings_list() -> str:
  """Every setting with its default, meaning and allowed values."""
  from mtl_traffic import settings

  parts = []
  for field in settings.FIELDS:
    must_be = settings.allowed(field.name)
    if bounds := settings.bounds(field.name):
      low, high = (f"{bound:.10g}" for bound in bounds)
      is_open = bounds[1] >= 2**31 - 2
      must_be += f", at least {low}" if is_open else f", {low} to {high}"
    parts += [
      f"`{field.name}` = `{field.default!r}`",
      f":   {field.metadata['meaning']}. *Must be {must_be}.*",
      "",
    ]
  return "\n".join(parts)


def configs_tables() -> str:
  """The settings that each configuration changes."""
  from mtl_traffic import settings

  parts = []
  for path in sorted((ROOT / "mtl_traffic" / "configs").glob("*.py")):
    if path.stem in ("__init__", "common"):
      continue
    module = importlib.import_module(f"mtl_traffic.configs.{path.stem}")
    config = module.get_config()
    about = (module.__doc__ or "").strip().splitlines()[0]
    parts += [f"### {path.stem}", "", about, "", "| setting | value |", "|---|---|"]
    for field in settings.FIELDS:
      value = config[field.name]
      if value != field.default and field.name not in settings.PAPER:
        parts.append(f"| `{field.name}` | `{_cell(repr(value))}` |")
    parts.append("")
  return "\n".join(parts)


def commands_list() -> str:
  """The help text and flags of each command."""
  from mtl_traffic.commands.main import COMMANDS

  parts = []
  for name in COMMANDS:
    about, flags = _help("-m", "mtl_traffic", name)
    parts += [f"## mtl-traffic {name}", "", about, "", *flags, ""]
  return "\n".join(parts)


def experiments_table() -> str:
  """The programs in experiments/, with the first line of each."""
  rows = ["| program | what it does |", "|---|---|"]
  for path in sorted((ROOT / "experiments").glob("*.py")):
    if path.stem in ("__init__", "binary"):
      continue
    about = ast.get_docstring(ast.parse(path.read_text())) or ""
    rows.append(
      f"| `{path.stem}` | {_cell(' '.join(about.split(chr(10) * 2)[0].split()))} |"
    )
  return "\n".join(rows)


LISTS = {
  "<!-- settings -->": settings_list,
  "<!-- configs -->": configs_tables,
  "<!-- commands -->": commands_list,
  "<!-- experiments -->": experiments_table,
}


def _help(*command: str) -> tuple[str, list[str]]:
  """The description in a program's --help, and a list of its flags."""
  done = subprocess.run(
    [sys.executable, *command, "--help"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  about, _, rest = done.stdout.partition("\nFlags:\n")
  flags, _, _ = rest.partition("\nSettings, ")
  about = about.partition(": ")[2]
  # Commands are indented there.
  about = re.sub(
    r"((?:^ {4}.*\n?)+)", lambda m: f"```\n{_dedented(m[1])}```\n", about, flags=re.M
  )
  entries = re.findall(r"^  (--\w+)\n((?: {6}.*\n?)+)", flags, re.MULTILINE)
  listed = []
  for flag, text in entries:
    listed += [f"`{flag}`", f":   {' '.join(text.split())}", ""]
  return about, listed


def _dedented(text: str) -> str:
  return "".join(f"{line[4:]}\n" for line in text.rstrip().splitlines())


def _cell(text: str) -> str:
  return text.replace("|", "\\|")
