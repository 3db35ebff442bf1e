"""Confusion matrices as figures, with similar classes side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colors
from matplotlib.figure import Figure
from scipy.cluster import hierarchy
from scipy.spatial import distance

from mtl_traffic import charts
from mtl_traffic.escapes import for_figure

MOST_ERRORS = 12  # Errors whose numbers are written into the figure.
_MOST_WITH_DIAGONAL = 10  # With more classes, the diagonal has no numbers.


def by_similarity(counts: np.ndarray) -> list[int]:
  """Orders classes so that those that are confused are neighbours.

  Classes are clustered hierarchically (average linkage) by their shares of mutual
  errors. The leaves of the tree are in optimal order: Z. Bar-Joseph, D. Gifford and
  T. Jaakkola, "Fast optimal leaf ordering for hierarchical clustering",
  Bioinformatics, 2001.

  Args:
    counts: `[C, C]` or wider, at `[i, j]` the flows of class i predicted as j.
  """
  counts = np.asarray(counts)
  size = len(counts)
  if size < 3:
    return list(range(size))
  share = counts[:, :size] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  apart = 1 - (share + share.T) / 2
  np.fill_diagonal(apart, 0)
  tree = hierarchy.linkage(
    distance.squareform(apart, checks=False), "average", optimal_ordering=True
  )
  return hierarchy.leaves_list(tree).tolist()


def largest(counts: np.ndarray, most: int = MOST_ERRORS) -> list[tuple[int, int]]:
  """The largest errors, by share of the true class, as (true, predicted)."""
  counts = np.asarray(counts)
  share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  np.fill_diagonal(share, 0)
  first = np.argsort(-share, axis=None, kind="stable")[:most]
  found = zip(*np.unravel_index(first, share.shape), strict=True)
  return [(int(true), int(taken)) for true, taken in found if share[true, taken] > 0]


def figure(
  counts: np.ndarray, names: Sequence[str], answers: Sequence[str] = ()
) -> Figure:
  """Draws a confusion matrix in % of the true class, similar classes side by side.

  Args:
    counts: `[C, A]`, at `[i, j]` the flows of class i predicted as j.
    names: names of the C classes.
    answers: names of further answers, such as "unknown", which are the last columns.
  """
  counts, size = np.asarray(counts), len(names)
  order = by_similarity(counts)
  columns = [*order, *range(size, size + len(answers))]
  share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  shown = share[np.ix_(order, columns)]
  cell = 0.27 if size > _MOST_WITH_DIAGONAL else 0.36
  heads = [for_figure(name) for name in (*(names[i] for i in order), *answers)]
  room = 0.7 + 0.09 * max(map(len, heads))  # For names, on either axis; inches.
  height = room + cell * max(size, 4)
  width = height + cell * len(answers) + 0.8
  drawn = Figure(figsize=(width, height), layout="constrained")
  panel = drawn.subplots()
  # A square-root scale: on a linear one, errors of a few % would be invisible.
  image = panel.imshow(shown, cmap="Blues", norm=colors.PowerNorm(0.5, 0, 100))
  written = largest(counts)
  if size <= _MOST_WITH_DIAGONAL:
    written = [*written, *((i, i) for i in range(size))]
  for true, taken in written:
    value = share[true, taken]
    panel.text(
      columns.index(taken),
      order.index(true),
      f"{value:.0f}" if value >= 0.95 else f"{value:.1f}"[1:],
      ha="center",
      va="center",
      fontsize=charts.POINTS,
      color="white" if value > 30 else "black",
    )
  panel.set_xticks(range(len(heads)), heads, rotation=90, fontsize=charts.POINTS)
  panel.set_yticks(range(size), heads[:size], fontsize=charts.POINTS)
  # Faint lines lead the eye from a name to its cell.
  panel.set_xticks(np.arange(len(heads) - 1) + 0.5, minor=True)
  panel.set_yticks(np.arange(size - 1) + 0.5, minor=True)
  panel.grid(which="minor", color="0.9", linewidth=0.5)
  panel.tick_params(which="minor", length=0)
  if answers:
    panel.axvline(size - 0.5, color="black", linewidth=1)
  panel.set_xlabel("predicted class (% of the row)")
  panel.set_ylabel("true class")
  drawn.colorbar(image, ax=panel, shrink=0.6, ticks=[0, 1, 5, 20, 50, 100])
  return drawn
