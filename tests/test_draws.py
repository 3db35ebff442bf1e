import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtl_traffic as mtl
from mtl_traffic import draws, targets
from mtl_traffic.errors import InputError

SIZES = {"test_per_class": 5, "validation_per_class": 4}


@pytest.fixture
def table(flows):
  return draws.flow_table(flows, np.arange(len(flows)) < 81)


def test_parts_are_disjoint_and_labelled_flows_come_first(flows, table):
  drawn = draws.draw(table, 0, 6, **SIZES)
  assert drawn.train.shape == (81 - 27,)
  everything = np.concatenate([drawn.train, drawn.validation, drawn.test])
  np.testing.assert_array_equal(np.sort(everything), np.arange(81))
  assert int(drawn.num_labelled) == 18
  label = np.asarray(drawn.targets["class"])
  first = np.asarray(drawn.train[:18])
  np.testing.assert_array_equal(label[first], flows.classes[first])
  assert (np.delete(label, first) == -1).all()


def test_dividers_come_from_the_labelled_flows_alone(flows, table):
  drawn = draws.draw(table, 0, 6, **SIZES)
  labelled = np.asarray(drawn.train[:18])
  bandwidths = flows.num_bytes / flows.durations
  for task, values in (("duration", flows.durations), ("bandwidth", bandwidths)):
    averages = sorted(
      values[labelled][flows.classes[labelled] == c].mean() for c in range(3)
    )
    midpoints = [(averages[0] + averages[1]) / 2, (averages[1] + averages[2]) / 2]
    np.testing.assert_allclose(drawn.dividers[task], midpoints, rtol=1e-5)
    np.testing.assert_array_equal(
      drawn.targets[task], np.digitize(values, np.asarray(drawn.dividers[task]))
    )


def test_given_dividers_replace_drawn_ones_task_by_task(table):
  own = jnp.array([0.1, 0.2, 0.5, 2.0])
  drawn = draws.draw(table, 0, 6, dividers={"duration": own}, **SIZES)
  default = draws.draw(table, 0, 6, **SIZES)
  np.testing.assert_array_equal(
    drawn.targets["duration"], targets.divide(table.values["duration"], own)
  )
  np.testing.assert_array_equal(
    drawn.targets["bandwidth"], default.targets["bandwidth"]
  )


def test_a_seeds_draw_does_not_depend_on_the_other_runs(table):
  def same(left, right):
    left = left.replace(key=jax.random.key_data(left.key))
    right = right.replace(key=jax.random.key_data(right.key))
    jax.tree.map(np.testing.assert_array_equal, left, right)

  many = draws.draw_many(table, jnp.arange(7), jnp.full(7, 4), **SIZES)
  few = draws.draw_many(table, jnp.array([5]), jnp.array([4]), **SIZES)
  same(jax.tree.map(lambda leaf: leaf[5], many), jax.tree.map(lambda x: x[0], few))
  same(draws.draw(table, 5, 4, **SIZES), jax.tree.map(lambda leaf: leaf[0], few))


def test_budgets_of_a_seed_share_their_split_and_differ_between_seeds(table):
  drawn = draws.draw_many(table, jnp.array([0, 0, 1]), jnp.array([2, 9, 9]), **SIZES)
  np.testing.assert_array_equal(drawn.test[0], drawn.test[1])
  assert (np.asarray(drawn.test[0]) != np.asarray(drawn.test[2])).any()


def test_flows_without_duration_have_no_bandwidth_target(flows):
  durations = flows.durations.copy()
  durations[3] = 0
  table = draws.flow_table(flows.replace(durations=durations), np.ones(90, bool))
  drawn = draws.draw(table, 0, draws.ALL_LABELS, **SIZES)
  assert drawn.targets["bandwidth"][3] == targets.NO_TARGET
  assert drawn.targets["duration"][3] == 0
  assert np.isfinite(drawn.dividers["bandwidth"]).all()


def test_flows_that_are_held_back_carry_no_label_and_do_not_train(table):
  drawn = draws.draw(table, 0, 6, **SIZES)
  left, held_back = draws.hold_back(drawn, 4)
  assert len(held_back) == (54 - 18) / 4
  assert (np.asarray(drawn.targets["class"])[held_back] == -1).all()
  np.testing.assert_array_equal(left.train[:18], drawn.train[:18])
  together = np.concatenate([left.train, held_back])
  np.testing.assert_array_equal(np.sort(together), np.sort(drawn.train))


def test_the_truth_is_known_of_flows_without_label(flows, table):
  drawn = draws.draw(table, 0, 6, **SIZES)
  np.testing.assert_array_equal(draws.truth(flows, drawn, "class"), flows.classes)
  np.testing.assert_array_equal(
    draws.truth(flows, drawn, "duration"), drawn.targets["duration"]
  )


def test_all_classes_that_are_too_small_are_named_at_once(flows):
  chosen = flows[(flows.classes == 1) | (np.arange(90) < 20)]  # 7, 30 and 6 flows.
  table = mtl.flow_table(chosen, np.ones(len(chosen), bool))
  with pytest.raises(InputError) as error:
    mtl.draw(table, 0, 1, **SIZES)
  assert "'a' has 7, 'c' has 6; of each class 5 test, 4 validation" in str(error.value)
  assert "'b'" not in str(error.value)
  assert "\n" not in str(error.value)
  enough = {"test_per_class": 3, "validation_per_class": 3}
  assert mtl.draw(table, 0, 1, **enough).test.shape == (9,)


def test_a_table_counts_the_flows_of_the_training_partition(table):
  assert table.class_names == ("a", "b", "c")
  assert table.class_sizes == (27, 27, 27)
  assert (table.num_classes, table.num_eligible) == (3, 81)


def test_each_run_and_its_labelled_flows(flows, table):
  drawn = draws.draw_many(table, jnp.array([3, 4]), jnp.array([2, 5]), **SIZES)
  for seed, labels, one in zip((3, 4), (2, 5), draws.each_run(drawn), strict=True):
    labelled, classes = one.labelled()
    assert len(labelled) == 3 * labels
    np.testing.assert_array_equal(classes, flows.classes[labelled])
    np.testing.assert_array_equal(np.bincount(classes), [labels] * 3)
    expected, _ = draws.draw(table, seed, labels, **SIZES).labelled()
    np.testing.assert_array_equal(labelled, expected)


def test_all_flows_to_split_train_once_they_have_tested(flows):
  classes = np.array([0, -1, 1, 0, 1, -1, 2, 2], np.int32)
  flows = flows[:8].replace(classes=classes)
  table = draws.flow_table(flows, np.arange(8) != 3)
  drawn = draws.draw(table, 5, 1, test_per_class=1, validation_per_class=0)
  everything = draws.with_all(table, drawn)
  np.testing.assert_array_equal(everything.train, [0, 2, 4, 6, 7, 1, 5])
  labelled, of_labelled = everything.labelled()
  assert labelled.tolist() == [0, 2, 4, 6, 7] and of_labelled.tolist() == [
    0,
    1,
    1,
    2,
    2,
  ]
  # The fourth flow is of a partition that is not split, so its class is not told.
  assert everything.targets["class"].tolist() == [0, -1, 1, -1, 1, -1, 2, 2]
  assert not len(everything.test) and not len(everything.validation)
  assert int(everything.num_train) == everything.epoch_size == 7
  for task in table.values:
    np.testing.assert_array_equal(everything.dividers[task], drawn.dividers[task])
    np.testing.assert_array_equal(everything.targets[task], drawn.targets[task])
  assert everything.key == drawn.key
