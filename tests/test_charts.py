"""Figures show the values that they are given."""

import itertools

import numpy as np
import pytest
from matplotlib import colors

from mtl_traffic import charts
from mtl_traffic.evaluation import Coverage, Reliability

SIX = (charts.OURS, charts.PAPERS, "forest", "neighbor", "transfer", "other")


def test_our_method_and_the_papers_look_the_same_in_any_company():
  alone = charts.styles([charts.PAPERS])
  among = charts.styles(reversed(SIX))
  for name in (charts.OURS, charts.PAPERS):
    assert alone[name] == among[name]


def test_six_series_differ_in_colour_marker_and_stroke():
  styles = [charts.styles(SIX)[name] for name in SIX]
  for one, other in itertools.combinations(styles, 2):
    assert one.color != other.color and one.marker != other.marker
    # The lines of our method and the paper's are both solid, and wider than the others.
    assert one.stroke != other.stroke or {one, other} == set(styles[:2])


def test_our_method_and_the_papers_differ_in_grey():
  ours, papers = (
    np.dot(colors.to_rgb(charts.styles(())[name].color), (0.299, 0.587, 0.114))
    for name in (charts.OURS, charts.PAPERS)
  )
  assert ours - papers > 0.1


@pytest.mark.parametrize("style", charts.styles("abcdef").values())
def test_names_in_any_colour_can_be_read(style):
  linear = [
    one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4
    for one in colors.to_rgb(style.color)
  ]
  # WCAG 2.1 requires a contrast of 4.5, or 3 for bold text such as our method's.
  contrast = 1.05 / (np.dot(linear, (0.2126, 0.7152, 0.0722)) + 0.05)
  assert contrast > (4.5 if style.width < 2 else 3)


@pytest.mark.parametrize(
  ("values", "spread"),
  [
    ([1, 5, 9], [1, 5, 9]),
    ([5, 5], [4.5, 5.5]),  # Moved as little as possible.
    ([5, 4.8, 5.2], [5, 4, 6]),  # The order is kept.
    ([10, 10], [9, 10]),  # Not above the upper limit.
    ([0, 0], [0, 1]),
    ([], []),
  ],
)
def test_labels_are_moved_apart(values, spread):
  assert charts.spread(values, 1, 0, 10) == pytest.approx(spread)


@pytest.mark.parametrize(
  ("values", "low", "high"),
  [
    ([90.0, 95.0, np.nan, 99.0], 89.46, 99.54),
    ([50.0, 120.0], 47.0, 101.5),  # Intervals may exceed 100 %.
    ([93.0], 92.5, 93.5),
    ([np.nan], 0.0, 100.0),
  ],
)
def test_axes_are_where_the_data_is(values, low, high):
  assert charts.limits(values) == pytest.approx((low, high))


def _drawn(ends):
  figure, (panel,) = charts.stack(1)
  for name, values in ends.items():
    of = charts.styles(ends)[name]
    charts.line(panel, name, range(len(values)), values, [1.0] * len(values), of)
  charts.finish(panel)
  figure.draw_without_rendering()
  return panel


def test_each_name_stands_at_its_own_lines_end():
  ends = {"a": [90, 95.0], "b": [80, 94.9], "c": [99, 70.0], "d": [60, np.nan]}
  panel = _drawn(ends)
  colour = {c.get_label(): c.lines[0].get_color() for c in panel.containers}
  texts = {text.get_text(): text for text in panel.texts}
  assert set(texts) == set(ends)
  for name, text in texts.items():
    assert text.get_color() == colour[name]
    known = [y for y in ends[name] if not np.isnan(y)]
    # The point that its leader line leads to.
    assert text.xy == (len(known) - 1, known[-1])
  heights = {name: text.xyann[1] for name, text in texts.items()}
  assert sorted(heights, key=heights.get) == ["d", "c", "b", "a"]
  boxes = sorted(
    (t.get_window_extent().y0, t.get_window_extent().y1) for t in panel.texts
  )
  assert all(below[1] <= above[0] + 1 for below, above in itertools.pairwise(boxes))


def test_lines_and_intervals_have_the_values():
  panel = _drawn({"a": [90, 95.0]})
  (container,) = panel.containers
  assert container.lines[0].get_ydata().tolist() == [90, 95]
  assert panel.get_ylim() == (88.5, 96.5)  # The intervals, with a margin.
  (bars,) = container.lines[2]
  assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
    [89, 91],
    [94, 96],
  ]


def test_reliability_leaves_out_empty_bins():
  measured = Reliability(
    np.array([0, 30, 10]), np.array([np.nan, 0.5, 0.9]), np.array([np.nan, 0.4, 1.0])
  )
  panel, strip = charts.reliability(measured).axes
  line = {one.get_label(): one for one in panel.lines}["the model"]
  assert line.get_xydata().tolist() == [[50, 40], [90, 100]]
  values, edges, _ = strip.patches[0].get_data()
  assert values.tolist() == [0, 75, 25]
  np.testing.assert_allclose(edges, [0, 100 / 3, 200 / 3, 100])


def test_coverage_names_each_task_at_its_end():
  curve = Coverage(np.array([0.9, 0.8]), np.array([0.5, 1.0]), np.array([1.0, 0.75]))
  worse = curve._replace(accuracies=np.array([0.9, 0.6]))
  (panel,) = charts.coverage({"class": curve, "bandwidth": worse}).axes
  lines = dict(zip(["class", "bandwidth"], panel.lines, strict=True))
  for text in panel.texts:
    line = lines[text.get_text()]
    assert text.get_color() == line.get_color()
    assert text.xy == pytest.approx(line.get_xydata()[-1])
  assert lines["class"].get_ydata().tolist() == [100, 75]
  assert lines["bandwidth"].get_ydata().tolist() == [90, 60]
