import numpy as np
import pytest

from mtl_traffic import labelling


def _blobs(*sizes, spread=0.0):
  """Flows at, or around, places far apart, so many at each."""
  rng = np.random.default_rng(0)
  places = 100 * np.eye(max(len(sizes), 2))[: len(sizes)]
  of_flow = np.repeat(np.arange(len(sizes)), sizes)
  around = rng.standard_normal((sum(sizes), places.shape[1]))
  return places[of_flow] + spread * around, of_flow


def _suggest(columns, number, *labelled):
  mask = np.isin(np.arange(len(columns)), labelled)
  return labelling.suggest(columns, number, mask)


def test_each_kind_of_flow_is_suggested_once_the_most_frequent_first():
  columns, kind = _blobs(40, 10, 20)
  suggested = _suggest(columns, 3)
  assert [kind[one.flow] for one in suggested] == [0, 2, 1]


def test_a_kind_that_has_a_label_is_left_to_the_others():
  columns, kind = _blobs(40, 10, 20)
  suggested = _suggest(columns, 2, 3)
  assert [kind[one.flow] for one in suggested] == [2, 1]


def test_a_flow_covers_those_like_it_as_far_as_nothing_did_before():
  # All alike: the first covers every flow, and there is nothing left to add.
  first, second = _suggest(np.ones((8, 2)), 2)
  assert first.coverage == pytest.approx(8)
  assert second.coverage == pytest.approx(0)


def test_the_choice_is_the_greedy_one():
  columns, _ = _blobs(12, 9, 5, spread=1.0)
  leaves = labelling._leaves(columns, seed=0).toarray()
  similarities = leaves @ leaves.T / leaves.sum(axis=1)[0]
  covered, expected = np.zeros(len(columns)), []
  for _ in range(6):
    gains = np.maximum(similarities - covered, 0).sum(axis=1)
    expected.append(gains.max())
    covered = np.maximum(covered, similarities[gains.argmax()])
  found = [one.coverage for one in _suggest(columns, 6)]
  np.testing.assert_allclose(found, expected)


def test_more_suggestions_begin_with_the_same():
  columns, _ = _blobs(30, 20, spread=1.0)
  assert _suggest(columns, 8)[:3] == _suggest(columns, 3)


def test_typical_flows_are_suggested_and_not_those_at_the_edge():
  columns, _ = _blobs(30, 30, spread=1.0)
  columns[0] += 25  # Of its kind, but far from the others.
  assert 0 not in [one.flow for one in _suggest(columns, 2)]


def test_no_flow_is_suggested_twice_or_with_a_label():
  columns, _ = _blobs(4, 3, spread=1.0)
  suggested = [one.flow for one in _suggest(columns, 100, 0, 5)]
  assert sorted(suggested) == [1, 2, 3, 4, 6]
  assert _suggest(columns, 5, *range(7)) == []
