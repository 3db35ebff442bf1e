import numpy as np
import pytest
from matplotlib import image

from mtl_traffic.comparison import figures


def _row(method, labels, seed, partition="p"):
  return {
    "method": method,
    "labels_per_class": labels,
    "seed": seed,
    "partition": partition,
    "shortest_prefix": None,
    "lambda": 10.0**seed,
    "class_accuracy": 0.9 + 0.01 * seed,
    "bandwidth_accuracy": 0.8,
    "duration_accuracy": None,
    "class_confusion": [[8, 2], [0, 10]],
    "bandwidth_confusion": [[5, 1, 0], [0, 3, 3], [0, 0, 0]],
    "duration_confusion": None,
  }


ROWS = [
  _row(*of)
  for of in (
    ("multi", 10, 0),
    ("multi", 10, 1),
    ("multi", "all", 0),
    ("single", 10, 0),
    ("multi", 10, 0, "other"),
  )
]


@pytest.mark.parametrize("kind", ["labels", "sweep", "confusion"])
def test_figures_are_drawn(tmp_path, kind):
  path = tmp_path / "figure.png"
  if kind == "labels":
    figures.label_budget_figure(ROWS, {("multi", 10): (89.3, 91.0, 93.3)}, path)
  elif kind == "sweep":
    figures.sweep_figure(ROWS, "lambda", "λ", path, logarithmic=True)
  else:
    figures.confusion_figure(ROWS[:3], ["a", "b"], path)
  pixels = image.imread(path)
  assert min(pixels.shape[:2]) > 200
  assert np.std(pixels) > 0.05
