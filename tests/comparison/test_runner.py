"""Tests of the runner on a few flows: what it trains, saves and refuses."""

import io
import sys

import numpy as np
import pytest

from mtl_traffic.comparison.runner import Runner
from mtl_traffic.errors import InputError
from mtl_traffic.methods.multitask import Multitask
from mtl_traffic.runs import Run, label_budgets
from mtl_traffic.settings import Settings

SMALL = Settings(
  methods=("multitask",),
  labels_per_class=(2, 4),
  num_seeds=2,
  test_per_class=5,
  validation_per_class=4,
  k=8,
  epochs=2,
  least_steps=0,
  runs_at_once=1,
)


def _rows(settings, flows, path, runs=None, reuse=False, **arguments):
  runs = label_budgets(settings) if runs is None else runs
  runner = Runner(settings, "small", flows, path, runs, **arguments)
  rows = runner.finish(reuse)
  runner.workdir.close()
  return rows


def _by_run(rows):
  """Rows without their duration, which varies."""
  key = ("method", "seed", "labels_per_class", "partition")
  return {tuple(row[field] for field in key): {**row, "seconds": None} for row in rows}


@pytest.fixture
def fits(monkeypatch):
  """Records the number of runs in every fit of multitask."""
  fit, sizes = Multitask.fit, []

  def counted(method, problem, drawn, *args, **kwargs):
    sizes.append(len(drawn.num_labelled))
    return fit(method, problem, drawn, *args, **kwargs)

  monkeypatch.setattr(Multitask, "fit", counted)
  return sizes


def test_rows_say_what_was_run_and_tested(flows, tmp_path):
  settings = SMALL.replace(
    methods=("multitask", "single_task"),
    labels_per_class=(2, "all"),
    train_partition="training",
  )
  partitions = flows.partitions.copy()
  partitions[-12:] = 1
  flows = flows.replace(
    partitions=partitions, partition_names=("training", "elsewhere")
  )
  rows = _rows(settings, flows, tmp_path)
  assert len(rows) == 2 * 2 * 2 * 2
  assert {row["partition"] for row in rows} == {"training", "elsewhere"}
  assert {row["labels_per_class"] for row in rows} == {2, "all"}
  for row in rows:
    assert (row["dataset"], row["k"], row["packets"]) == ("small", 8, 8)
    assert (row["lambda"], row["learning_rate"]) == (1.0, 1e-3)
    size = 12 if row["partition"] == "elsewhere" else 15
    for task in ("class", "bandwidth", "duration"):
      accuracy = row[f"{task}_accuracy"]
      if row["method"] == "single_task" and task != "class":
        assert accuracy is None
      else:
        assert 0 <= accuracy <= 1
        assert accuracy * size == pytest.approx(round(accuracy * size))
    assert 0 <= row["validation_class_accuracy"] <= 1
    assert row["seconds"] > 0


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def _shown(text):
  return [line for line in text.split("\r") if line.strip()]


def test_a_log_has_no_line_for_each_chunk_but_a_terminal_shows_it(
  flows, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr("tqdm.std.time", lambda: 0.0)  # No line is due.
  _rows(SMALL, flows, tmp_path / "log")  # In four chunks.
  lines = _shown(capsys.readouterr().err)
  assert " 0.0/4 runs" in lines[0] and "100%" in lines[-1]
  assert len(lines) == 2
  terminal = _Terminal()
  monkeypatch.setattr(sys, "stderr", terminal)
  _rows(SMALL, flows, tmp_path / "terminal")
  lines = _shown(terminal.getvalue())
  for done in range(1, 5):
    assert any(f" {done}.0/4 runs" in line for line in lines)


def test_a_log_has_a_line_every_15_s(flows, tmp_path, capsys, monkeypatch):
  now = [0.0]

  def clock():
    now[0] += 4.0  # Between two looks at it.
    return now[0]

  monkeypatch.setattr("tqdm.std.time", clock)
  _rows(SMALL, flows, tmp_path)
  lines = _shown(capsys.readouterr().err)
  assert 3 <= len(lines) <= 2 + now[0] / 15


def test_a_seeds_rows_do_not_depend_on_the_number_of_seeds_or_on_chunks(
  flows, tmp_path
):
  more = SMALL.replace(num_seeds=3, labels_per_class=(4,))
  alone = more.replace(runs_at_once=2, first_seed=1, num_seeds=1)
  reference = _by_run(_rows(SMALL, flows, tmp_path / "reference"))
  more = _by_run(_rows(more, flows, tmp_path / "more"))
  alone = _by_run(_rows(alone, flows, tmp_path / "alone"))
  assert len(alone) == 1
  for key in alone:
    assert alone[key] == more[key] == reference[key]


def test_an_interrupted_sweep_continues_with_the_rows_of_an_uninterrupted_one(
  flows, tmp_path
):
  whole = _rows(SMALL, flows, tmp_path / "whole")
  results = tmp_path / "whole" / "results.jsonl"
  lines = results.read_text().splitlines(keepends=True)
  # As if the program had been killed while it wrote the second run's row.
  results.write_text("".join(lines[:1]) + lines[1][:40])
  continued = _rows(SMALL, flows, tmp_path / "whole")
  assert _by_run(continued) == _by_run(whole)
  assert len(continued) == len(whole) == 4
  assert continued[0] == whole[0]  # To the second: it was not run again.


def test_a_run_that_lacks_a_partitions_row_is_run_again(flows, tmp_path):
  partitions = flows.partitions.copy()
  partitions[:9] = 1
  flows = flows.replace(partitions=partitions, partition_names=("p", "q"))
  settings = SMALL.replace(train_partition="p", labels_per_class=(4,))
  whole = _rows(settings, flows, tmp_path)
  results = tmp_path / "results.jsonl"
  results.write_text("".join(results.read_text().splitlines(keepends=True)[:-1]))
  assert _by_run(_rows(settings, flows, tmp_path)) == _by_run(whole)


def test_more_seeds_and_methods_are_added_to_what_is_there(flows, tmp_path):
  first = _rows(SMALL, flows, tmp_path)
  more = SMALL.replace(
    num_seeds=3,
    methods=("multitask", "single_task"),
    payload_lengths=True,  # This setting only describes the flows.
  )
  second = _rows(more, flows, tmp_path)
  assert second[: len(first)] == first
  assert len(second) == 12


def test_rows_that_a_neighbour_has_are_copied_if_nothing_else_differs(
  flows, tmp_path, fits
):
  one_seed = SMALL.replace(num_seeds=1)
  first = _rows(one_seed, flows, tmp_path / "label_budget")
  _rows(one_seed.replace(epochs=1), flows, tmp_path / "other_epochs")
  lambdas = [run for v in (1.0, 9.0) for run in label_budgets(SMALL, lambda_=v)]
  sweep = {"runs": lambdas, "swept": ("lambda_",), "experiment": "lambda_sweep"}
  fits.clear()
  swept = _rows(SMALL, flows, tmp_path / "lambda_sweep", reuse=True, **sweep)
  # Of two seeds, two budgets and two λ, the neighbour has one seed at one λ.
  assert len(fits) == 8 - 2
  assert len(swept) == 8
  assert [row for row in swept if row["lambda"] == 1 and row["seed"] == 0] == first
  fits.clear()
  assert _rows(SMALL, flows, tmp_path / "again", **sweep) != []
  assert len(fits) == 8  # Unless it is asked for, nothing is copied.


def test_other_flows_of_the_same_name_are_refused(flows, flow_maker, tmp_path):
  _rows(SMALL, flows, tmp_path)
  with pytest.raises(InputError, match="was made with flows = "):
    _rows(SMALL, flow_maker(seed=1), tmp_path)


@pytest.mark.parametrize(
  ("setting", "value", "message"),
  [
    ("methods", ("multitask", "magic"), "method 'magic' is unknown; there are multi"),
    ("test_per_class", 30, "too few flows"),
    ("split_by", "capture", "the flows were loaded without groups"),
    ("k", 5, "k = 5 packets are too few"),
    ("tasks", ("bandwidth", "colour"), "tasks: 'colour' is unknown; there are band"),
    ("tasks", ("bursts", "bursts"), "must name each once"),
    ("mask", "hat", "mask: 'hat' is unknown; there are loss, features"),
    ("duration_dividers", (2.0, 1.0), "duration_dividers: (2.0, 1.0) must be"),
    ("bandwidth_dividers", (1.0, 1.0), "bandwidth_dividers: (1.0, 1.0)"),
    ("train_partition", "nowhere", "no partition 'nowhere'; they have training; 'all'"),
    ("min_packets", 1000, "no flows are left"),
  ],
)
def test_settings_that_cannot_be_are_named_before_anything_is_written(
  flows, tmp_path, setting, value, message
):
  settings = SMALL.replace(**{setting: value})
  with pytest.raises(InputError) as error:
    _rows(settings, flows, tmp_path / "w")
  assert message in str(error.value)
  assert not (tmp_path / "w").exists()


def test_a_program_goes_in_chunks_of_one_size(flows, tmp_path, fits):
  settings = SMALL.replace(num_seeds=5, labels_per_class=(4,), runs_at_once=4, epochs=1)
  rows = _rows(settings, flows, tmp_path)
  # Five runs, at most four at once: two chunks of three, the last one padded.
  assert fits == [3, 3]
  assert [row["seed"] for row in rows] == [0, 1, 2, 3, 4]


def test_what_differs_in_numbers_alone_is_one_program(flows, tmp_path):
  def run(method="multitask", **fields):
    return Run(method, 4, 0, **{"k": 8, "packets": 8, **fields})

  one = [
    run(lambda_=value, learning_rate=value, duration_dividers=(value,))
    for value in (1.0, 9.0)
  ]
  others = [
    run(k=9, packets=9),
    run(tasks=()),
    run(duration_dividers=(1.0, 2.0)),
    run(shortest_prefix=4),
    run("single_task"),
  ]
  asked_for = [one[0], *others, one[1]]
  runner = Runner(SMALL, "small", flows, tmp_path, asked_for)
  assert runner._programs(asked_for) == [one, *[[run] for run in others]]


def test_a_run_that_is_asked_for_twice_is_run_once(flows, tmp_path, fits):
  settings = SMALL.replace(labels_per_class=(4,), num_seeds=1, epochs=1)
  rows = _rows(settings, flows, tmp_path, 2 * label_budgets(settings))
  assert len(rows) == 1
  assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1
  assert fits == [1]


def test_runs_of_other_settings_share_a_directory_only_when_they_are_swept(
  flows, tmp_path
):
  settings = SMALL.replace(labels_per_class=(4,), epochs=1)

  def run(swept, **fields):
    runs = label_budgets(settings, **fields)
    return _rows(settings, flows, tmp_path, runs, swept=swept)

  first = run(("tasks", "bandwidth_dividers"), tasks=("bursts",))
  second = run(("tasks", "bandwidth_dividers"), bandwidth_dividers=(1e3, 1e4))
  assert [row["tasks"] for row in first] == [["bursts"]] * 2
  assert [row["bandwidth_accuracy"] is None for row in first + second] == [
    True,
    True,
    False,
    False,
  ]
  with pytest.raises(InputError, match="was made with bandwidth_dividers = None"):
    run(("tasks",))


def test_a_program_out_of_memory_is_halved_and_lost_runs_are_none(
  flows, tmp_path, monkeypatch
):
  settings = SMALL.replace(num_seeds=3, runs_at_once=6, epochs=1)
  whole = _rows(settings, flows, tmp_path / "whole")
  fit, sizes = Multitask.fit, []

  def with_room_for_some(method, problem, drawn, *args, **kwargs):
    sizes.append(len(drawn.num_labelled))
    if sizes[-1] > most:
      raise MemoryError
    return fit(method, problem, drawn, *args, **kwargs)

  monkeypatch.setattr(Multitask, "fit", with_room_for_some)
  most = 2
  assert _by_run(_rows(settings, flows, tmp_path / "halved")) == _by_run(whole)
  assert sizes == [6, 3, 2, 2, 2]
  most = 0
  with pytest.raises(InputError, match="out of memory with a single run of multitask"):
    _rows(settings, flows, tmp_path / "none")
  assert not (tmp_path / "none" / "results.jsonl").read_text()


def test_draws_of_whole_groups_differ_in_size_and_no_run_knows_its_company(
  flows, tmp_path
):
  # Groups of 1 to 12 flows, so that seeds have different numbers of test flows.
  groups = np.repeat(np.arange(12), np.arange(1, 13))
  flows = flows[np.argsort(flows.classes, kind="stable")][: len(groups)]
  settings = SMALL.replace(
    methods=("single_task", "nearest_neighbor"),
    split_by="capture",
    test_per_class=0.3,
    validation_per_class=0.2,
    labels_per_class=(4,),
    num_seeds=5,
    epochs=1,
    runs_at_once=5,
  )
  grouped = flows.replace(groups=groups.astype(str))
  rows = _rows(settings, grouped, tmp_path / "together")
  tested = [np.sum(row["class_confusion"]) for row in rows]
  assert tested[:5] == tested[5:] and len(set(tested)) > 1
  alone = _rows(settings.replace(runs_at_once=1), grouped, tmp_path / "alone")
  assert _by_run(alone) == _by_run(rows)
