"""Figures show the values of rows, each with the name of its series."""

import numpy as np
import pytest

from mtl_traffic import charts
from mtl_traffic.comparison import figures

OURS, PAPERS = charts.OURS, charts.PAPERS


def _row(method, labels, seed, accuracy, partition="p", **fields):
  return {
    "method": method,
    "labels_per_class": labels,
    "seed": seed,
    "partition": partition,
    "shortest_prefix": None,
    "packets": 60,
    "class_accuracy": accuracy,
    "bandwidth_accuracy": None if accuracy is None else accuracy - 0.1,
    "duration_accuracy": None,
    "class_confusion": None,
    **fields,
  }


ROWS = [
  _row("forest", 10, 0, 0.80),
  _row(PAPERS, "all", 0, 0.97),
  _row(PAPERS, 10, 0, 0.90),
  _row(PAPERS, 10, 1, 0.94),
  _row(OURS, 10, 0, 0.98),
  _row(OURS, 10, 1, 0.96),
  _row(PAPERS, 10, 0, 0.7, "other"),
]
PUBLISHED = {(PAPERS, 10): (89.3, 91.0, 93.3), ("forest", 10): (None, None, 48.7)}


def _series(panel):
  """The values of each line, by the label at its end, which has its colour."""
  lines = {c.lines[0].get_color(): [] for c in panel.containers}
  found = {}
  for container in panel.containers:
    lines[container.lines[0].get_color()].append(container.lines[0])
  for text in panel.texts:
    (line,) = [
      one
      for one in lines[text.get_color()]
      if np.allclose(one.get_xydata()[-1], text.xy)
    ]
    found[text.get_text()] = line.get_ydata().tolist()
  return found


def test_label_budgets_have_a_line_each_method_and_a_panel_each_partition():
  figure = figures.label_budget_figure(ROWS, PUBLISHED)
  trained_on, other = figure.axes
  found = _series(trained_on)
  assert list(found) == [OURS, PAPERS, "forest", f"{PAPERS}, published"]
  expected = {
    OURS: [97],
    PAPERS: [92, 97],
    "forest": [80],
    f"{PAPERS}, published": [93.3],
  }
  for name, values in expected.items():
    assert found[name] == pytest.approx(values)
  assert _series(other) == {PAPERS: [pytest.approx(70)]}
  assert [panel.get_title() for panel in figure.axes] == [
    "tested on p",
    "tested on other",
  ]
  assert [label.get_text() for label in other.get_xticklabels()] == ["10", "all"]
  colour = {text.get_text(): text.get_color() for text in trained_on.texts}
  assert colour[OURS] == charts.styles(())[OURS].color
  assert colour[PAPERS] == charts.styles(())[PAPERS].color


def test_intervals_are_those_over_seeds():
  figure = figures.label_budget_figure(ROWS, {})
  ours = figure.axes[0].containers[0]
  (bar,) = ours.lines[2][0].get_segments()
  # t(0.975, 1) = 12.706; half the difference of the two values is 1 point.
  assert bar[:, 1] == pytest.approx([97 - 12.706, 97 + 12.706], abs=1e-3)


def test_macro_f1_is_shown_where_classes_differ_in_size():
  rows = [_row(PAPERS, 10, 0, 11 / 12, class_confusion=[[10, 0], [1, 1]])]
  accuracy, f1 = figures.label_budget_figure(rows, {}).axes
  assert accuracy.get_ylabel() == "class accuracy (%)"
  assert f1.get_ylabel() == "macro F1 (%)"
  assert _series(f1)[PAPERS] == [pytest.approx(100 * (20 / 21 + 2 / 3) / 2)]


def test_of_many_methods_ours_the_papers_and_the_best_are_shown():
  rows = [_row(f"m{i}", 10, 0, 0.5 + i / 100) for i in range(9)]
  rows += [_row(PAPERS, 10, 0, 0.1), _row(OURS, 10, 0, 0.2), _row("late", 100, 0, 0.99)]
  assert figures.methods_shown(rows) == [OURS, PAPERS, "m8", "m7", "m6", "m5"]
  (panel,) = figures.label_budget_figure(rows, PUBLISHED).axes
  assert len(panel.texts) == charts.MOST_SERIES


def test_a_sweep_has_a_panel_each_task():
  rows = [
    _row(PAPERS, 10, 0, accuracy, **{"lambda": value})
    for value, accuracy in ((10.0, 0.9), (0.1, 0.8), (1000.0, 0.7))
  ]
  rows.append(_row(PAPERS, 10, 0, 0.6, "other", **{"lambda": 10.0}))
  figure = figures.sweep_figure(rows, "lambda", "λ", logarithmic=True)
  of_class, bandwidth, other = figure.axes
  assert _series(of_class)[PAPERS] == pytest.approx([80, 90, 70])
  assert _series(bandwidth)[PAPERS] == pytest.approx([70, 80, 60])
  assert _series(other)[PAPERS] == pytest.approx([60])
  assert [panel.get_ylabel() for panel in figure.axes] == [
    "class (%)",
    "bandwidth (%)",
    "class on other (%)",
  ]
  (line, *_) = of_class.containers
  assert line.lines[0].get_xdata().tolist() == [-1, 1, 3]
  ticks = [label.get_text() for label in other.get_xticklabels()]
  assert ticks == ["0.1", "10", "1000"]


def test_two_models_of_one_method_are_told_apart():
  rows = [_row(PAPERS, 10, 0, 0.9), _row(PAPERS, 10, 0, 0.8, shortest_prefix=5)]
  figure = figures.sweep_figure(rows, "packets", "packets")
  colour = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
  assert list(colour) == [PAPERS, f"{PAPERS}, any k"]
  assert len(set(colour.values())) == 2
  assert colour[PAPERS] == charts.styles(())[PAPERS].color


def test_differences_stand_below_their_names():
  rows = [
    _row(PAPERS, 10, seed, accuracy + seed / 100, tasks=list(tasks))
    for tasks, accuracy in ((("b",), 0.9), ((), 0.8), (("b", "c"), 0.93))
    for seed in range(2)
  ]
  figure = figures.difference_figure(rows, ("tasks",), {"tasks": ("b",)}, "b")
  (panel,) = figure.axes
  points = [
    (line.get_xdata()[0], line.get_ydata()[0])
    for line in (container.lines[0] for container in panel.containers)
  ]
  assert [x for x, _ in points] == pytest.approx([-10, 3])
  names = [text.get_text() for text in panel.texts]
  assert names == ["nothing", "b, c"]
  for (_, y), text in zip(points, panel.texts, strict=True):
    assert 0 < text.xy[1] - y < 0.2
  assert "− b (points)" in panel.get_xlabel()


def test_confusions_of_seeds_are_summed():
  rows = [
    _row(PAPERS, 10, 0, 0.9, class_confusion=[[8, 2], [0, 10]]),
    _row(PAPERS, 10, 1, 0.9, class_confusion=[[10, 0], [0, 10]]),
    _row(PAPERS, 10, 2, None),
  ]
  panel = figures.confusion_figure(rows, ["a", "b"]).axes[0]
  assert np.asarray(panel.images[0].get_array()).tolist() == [[90, 10], [0, 100]]


def test_datasets_have_a_panel_each():
  rows = {"one": ROWS[:6], "two": [_row("forest", 5, 0, 0.6)]}
  one, two = figures.datasets_figure(rows).axes
  assert (one.get_title(loc="left"), two.get_title(loc="left")) == ("one", "two")
  assert _series(one)[OURS] == [pytest.approx(97)]
  assert _series(two) == {"forest": [pytest.approx(60)]}
  labels = [label.get_text() for label in two.get_xticklabels()]
  assert labels == ["5", "10", "all"]


def test_ways_to_label_are_lines_of_our_method_against_the_labels_in_all():
  counts = {"class_confusion": [[1, 0, 0]] * 3}
  rows = [
    _row(PAPERS, 5, 0, 0.1, labelling="chosen", **counts),
    *(_row(OURS, 5, seed, 0.9, labelling="random", **counts) for seed in range(2)),
    _row(OURS, 5, 0, 0.6, labelling="uniform", **counts),
    _row(OURS, 5, 1, 0.7, labelling="uniform", **counts),
    _row(OURS, 1, 0, 0.8, labelling="chosen", **counts),
    _row(OURS, 5, 0, 0.5, "other", labelling="chosen", **counts),
  ]
  (panel,) = figures.labelling_figure(rows).axes
  found = _series(panel)
  assert found == {
    "per class": [90],
    "uniform": [pytest.approx(65)],
    "chosen": [80],
  }
  assert [tick.get_text() for tick in panel.get_xticklabels()] == ["3", "15"]
  assert panel.get_title("left") == OURS
  (panel,) = figures.labelling_figure(rows[:1]).axes
  assert panel.get_title("left") == PAPERS and _series(panel) == {"chosen": [10]}
