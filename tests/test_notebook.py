"""The notebook runs from top to bottom."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebooks" / "first_look.ipynb"


def test_the_notebook_runs(monkeypatch, tmp_path):
  reason = "the extra notebook brings what runs it"
  nbformat = pytest.importorskip("nbformat", reason=reason)
  nbclient = pytest.importorskip("nbclient", reason=reason)
  pytest.importorskip("ipykernel", reason=reason)
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  nbclient.NotebookClient(notebook, timeout=300).execute()
  drawn = [
    output
    for cell in notebook.cells
    for output in cell.get("outputs", ())
    if "image/png" in output.get("data", {})
  ]
  assert len(drawn) >= 4
  if os.environ.get("UPDATE_PAGES"):
    for cell in notebook.cells:
      cell.metadata.pop("execution", None)
    nbformat.write(notebook, NOTEBOOK)
