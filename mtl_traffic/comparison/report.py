"""Pages of everything that was run: what was found, tables, figures, and how made.

Reads the work directories of experiments in and below a directory, as `make paper` or
single binaries leave them. Writes `report.md` with its figures, and `report.html`, a
page that needs no other file. Where results of several datasets are there, or some that
cannot be compared, each has a page `report_NAME` of its own, and `report` is the page
on top of them.
"""

import os
import pathlib
import re
from collections.abc import Sequence

from mtl_traffic import files, pages
from mtl_traffic.comparison import dataset_page, overview, results
from mtl_traffic.comparison.results import Results
from mtl_traffic.pages import Part

_PAGE = "report"
_WORD = re.compile(r"[^\w-]+", re.ASCII)
_LONGEST_NAME = 60


def write(workdir: str | os.PathLike) -> pathlib.Path:
  """Writes the report of everything below a directory; returns the page.

  Raises:
    InputError: there is nothing to report on, or the report cannot be written.
  """
  workdir = pathlib.Path(workdir)
  found = results.read(workdir)
  with files.lock(workdir / _PAGE):
    if len(found) == 1:
      return _write(workdir, _PAGE, dataset_page.parts(found[0], workdir, _PAGE))
    stems = _stems(found)
    for stem, one in zip(stems, found, strict=True):
      _write(workdir, stem, dataset_page.parts(one, workdir, stem))
    named = {f"{stem}.md": one for stem, one in zip(stems, found, strict=True)}
    return _write(workdir, _PAGE, overview.parts(named, workdir), list(named))


def _write(
  workdir: pathlib.Path, stem: str, parts: Sequence[Part], beside: Sequence[str] = ()
) -> pathlib.Path:
  page = workdir / f"{stem}.html"
  files.write_text(workdir / f"{stem}.md", pages.markdown(parts))
  files.write_text(page, pages.html(parts, workdir, "Report", beside))
  return page


def _stems(found: Sequence[Results]) -> list[str]:
  """A page's name for each, after its dataset; numbered where it is another's too."""
  names = [_WORD.sub("_", one.meaning["dataset"])[:_LONGEST_NAME] for one in found]
  return [
    f"{_PAGE}_{name}" + f"_{names[:i].count(name) + 1}" * (names.count(name) > 1)
    for i, name in enumerate(names)
  ]
