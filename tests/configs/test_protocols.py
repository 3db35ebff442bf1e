"""The configs that have the rules of other papers."""

import numpy as np
import pytest

from mtl_traffic import methods, splits
from mtl_traffic.configs import cesnet_tc_transfer, tcbench
from mtl_traffic.data.ucdavis_icdm19 import sources
from mtl_traffic.settings import Settings

SIZES = (1221, 1634, 592, 1915, 1077)  # Of the classes of pretraining.
EVERY = pytest.mark.parametrize("config", [tcbench, cesnet_tc_transfer])


@EVERY
def test_published_figures_are_of_the_datasets_partitions_and_the_budgets(config):
  settings = Settings.of(config.get_config())
  assert settings.published
  for tested_on, labels, _, accuracy, half_width, f1, runs, _ in settings.published:
    assert tested_on in sources.PARTITIONS
    assert labels in settings.labels_per_class
    assert 50 < accuracy <= 100
    assert half_width is None or 0 < half_width < 3
    assert f1 is None or abs(f1 - accuracy) < 6
    assert runs in (10, 15, 20, 125)
  lines = [row[:3] for row in settings.published]
  assert len(set(lines)) == len(lines)


@EVERY
def test_methods_exist_and_some_do_without_unlabelled_flows(config):
  settings = Settings.of(config.get_config())
  for name in settings.methods:
    methods.make(name, vars(settings))
  assert {"nearest_neighbor", "nearest_neighbor_30_packets"} <= set(settings.methods)


def _sizes(config):
  settings = Settings.of(config.get_config())
  test, validation = splits.sizes(
    SIZES, settings.test_per_class, settings.validation_per_class
  )
  return np.array(test), np.array(validation)


def test_tcbench_trains_on_a_hundred_flows_a_class_and_tests_on_the_leftover():
  test, validation = _sizes(tcbench)
  assert (SIZES - test - validation).tolist() == [100] * 5
  assert test.sum() == 5939


def test_cesnet_trains_on_four_of_five_flows():
  test, validation = _sizes(cesnet_tc_transfer)
  assert (test + validation).tolist() == [244, 327, 118, 383, 215]
