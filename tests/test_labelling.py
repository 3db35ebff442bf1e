import numpy as np

from mtl_traffic import labelling


def _blobs(*sizes):
  """Flows around places far apart, so many at each."""
  rng = np.random.default_rng(0)
  places = 100 * np.eye(max(len(sizes), 2))[: len(sizes)]
  of_flow = np.repeat(np.arange(len(sizes)), sizes)
  return places[of_flow] + rng.standard_normal((sum(sizes), places.shape[1])), of_flow


def _suggest(columns, number, *labelled):
  mask = np.isin(np.arange(len(columns)), labelled)
  return labelling.suggest(columns, number, mask)


def test_each_kind_of_flow_is_suggested_once_the_most_frequent_first():
  columns, kind = _blobs(40, 10, 20)
  suggested = _suggest(columns, 3)
  assert [kind[one.flow] for one in suggested] == [0, 2, 1]
  assert [one.cluster_size for one in suggested] == [40, 20, 10]


def test_a_kind_that_has_a_label_is_left_to_the_others():
  columns, kind = _blobs(40, 10, 20)
  suggested = _suggest(columns, 2, 3)
  assert [kind[one.flow] for one in suggested] == [2, 1]


def test_typical_flows_are_suggested_and_not_those_at_the_edge():
  columns, _ = _blobs(30, 30)
  columns[0] += 25  # Of its cluster, but far from the others.
  assert 0 not in [one.flow for one in _suggest(columns, 2)]


def test_no_flow_is_suggested_twice_or_with_a_label():
  columns, _ = _blobs(4, 3)
  suggested = [one.flow for one in _suggest(columns, 100, 0, 5)]
  assert sorted(suggested) == [1, 2, 3, 4, 6]
  assert _suggest(columns, 5, *range(7)) == []
