"""Writes the report of all results in and below a directory.

Reads the work directories of experiments, as `make paper` or single experiments write
them. Writes `report.md` with its figures, and `report.html`, which contains its
figures. If there are several datasets, or results with different settings, each gets a
page `report_NAME`, and `report` compares them.
"""

import os
import pathlib
import re
from collections.abc import Sequence

from mtl_traffic import files, pages
from mtl_traffic.comparison import dataset_page, findings, overview, results
from mtl_traffic.comparison.results import Results
from mtl_traffic.pages import Part

_PAGE = "report"
_WORD = re.compile(r"[^\w-]+", re.ASCII)
_LONGEST_NAME = 60


def write(workdir: str | os.PathLike) -> pathlib.Path:
  """Writes the report of all results in and below a directory; returns its path.

  Raises:
    InputError: there are no results, or the report cannot be written.
  """
  workdir = pathlib.Path(workdir)
  datasets = results.read(workdir)
  found = [findings.find(one) for one in datasets]
  stems = _stems(datasets) if len(datasets) > 1 else [_PAGE]
  with files.lock(workdir / _PAGE):
    for stem, one, said in zip(stems, datasets, found, strict=True):
      page = _write(workdir, stem, dataset_page.parts(one, said, workdir, stem))
    if len(datasets) > 1:
      names = [f"{stem}.md" for stem in stems]
      top = overview.parts(
        dict(zip(names, datasets, strict=True)),
        dict(zip(names, found, strict=True)),
        workdir,
      )
      page = _write(workdir, _PAGE, top, names)
  return page


def _write(
  workdir: pathlib.Path, stem: str, parts: Sequence[Part], beside: Sequence[str] = ()
) -> pathlib.Path:
  page = workdir / f"{stem}.html"
  files.write_text(workdir / f"{stem}.md", pages.markdown(parts))
  files.write_text(page, pages.html(parts, workdir, "Report", beside))
  return page


def _stems(datasets: Sequence[Results]) -> list[str]:
  """A page name for each dataset; equal names are numbered, as in `report_a.2`.

  Unnumbered names have no dot, so a numbered name cannot equal another one.
  """
  names = [_WORD.sub("_", one.meaning["dataset"])[:_LONGEST_NAME] for one in datasets]
  return [
    f"{_PAGE}_{name}" + f".{names[:i].count(name) + 1}" * (names.count(name) > 1)
    for i, name in enumerate(names)
  ]
