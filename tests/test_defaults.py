import numpy as np

from mtl_traffic import defaults
from mtl_traffic.settings import Settings


def test_k_is_what_enough_flows_reach_and_classes_weigh_alike():
  lengths = np.arange(1, 101)
  one_class = np.zeros(100, int)
  assert defaults.k_of(lengths // 3, one_class) == 30  # 10 flows have 30 or more.
  assert defaults.k_of(lengths, one_class) == 60
  assert defaults.k_of(np.full(7, 2), np.zeros(7, int)) == 16
  # A thousand short flows do not hide what five long ones do.
  many = np.repeat([2, 50], [1000, 5])
  assert defaults.k_of(many, np.repeat([0, 1], [1000, 5])) == 50
  assert defaults.k_of(many, np.zeros(1005, int)) == 16


def test_the_shortest_prefix_is_one_that_nearly_all_flows_have():
  assert defaults.shortest_prefix_of(np.repeat([1, 3], [5, 95])) == 3
  assert defaults.shortest_prefix_of(np.repeat([1, 3], [20, 80])) == 1
  assert defaults.shortest_prefix_of(np.full(9, 70)) == 5
  assert defaults.shortest_prefix_of(np.zeros(3, int)) == 1


def test_dividers_are_quantiles_of_what_lasts():
  values = np.concatenate([np.zeros(50), [np.nan], np.arange(1, 401)])
  assert defaults.equal_dividers(values, 4) == (100.0, 200.0, 300.0)
  assert defaults.equal_dividers(np.array([0.012345, 0.012345]), 4) == (0.012,)
  assert defaults.equal_dividers(np.array([0.0, np.nan]), 4) == (1.0,)


def test_only_what_is_left_to_the_flows_is_chosen(flows):
  assert defaults.of_flows(Settings(), flows) is not None
  assert defaults.of_flows(Settings(), flows) == Settings()
  asked = Settings(k=0, shortest_prefix=0, equal_classes=3, duration_dividers=(9.0,))
  chosen = defaults.of_flows(asked, flows)
  assert 16 <= chosen.k <= 60 and chosen.shortest_prefix == 5
  assert chosen.duration_dividers == (9.0,)
  assert len(chosen.bandwidth_dividers) == 2
