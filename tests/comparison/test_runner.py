import pytest

from experiments import runs, sweep
from experiments.configs import common
from mtl_traffic.errors import InputError


@pytest.fixture
def config():
  config = common.get_config()
  config.update(
    methods=("multitask",),
    labels_per_class=(2, 4),
    num_seeds=2,
    test_per_class=5,
    validation_per_class=4,
    k=8,
    epochs=2,
    runs_at_once=1,
  )
  return config


def _rows(config, flows, path):
  one = sweep.Sweep(config, "small", flows, path, runs.label_budgets(config))
  rows = one.finish()
  one.workdir.close()
  return rows


def _by_run(rows):
  """Rows without how long they took, which is never the same."""
  key = ("method", "seed", "labels_per_class", "partition")
  return {tuple(row[field] for field in key): {**row, "seconds": None} for row in rows}


def test_rows_say_what_was_run_and_tested(config, flows, tmp_path):
  config.methods = ("multitask", "single_task")
  config.labels_per_class = (2, "all")
  partitions = flows.partitions.copy()
  partitions[-12:] = 1
  flows = flows.replace(
    partitions=partitions, partition_names=("training", "elsewhere")
  )
  config.train_partition = "training"
  rows = _rows(config, flows, tmp_path)
  assert len(rows) == 2 * 2 * 2 * 2
  assert {row["partition"] for row in rows} == {"training", "elsewhere"}
  assert {row["labels_per_class"] for row in rows} == {2, "all"}
  for row in rows:
    assert (row["dataset"], row["k"], row["lambda"]) == ("small", 8, 1.0)
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


def test_a_seeds_rows_do_not_depend_on_the_number_of_seeds_or_on_chunks(
  config, flows, tmp_path
):
  reference = _by_run(_rows(config, flows, tmp_path / "reference"))
  config.num_seeds, config.labels_per_class = 3, (4,)
  more = _by_run(_rows(config, flows, tmp_path / "more"))
  config.runs_at_once, config.first_seed, config.num_seeds = 2, 1, 1
  alone = _by_run(_rows(config, flows, tmp_path / "alone"))
  for key in alone:
    assert alone[key] == more[key] == reference[key]


def test_an_interrupted_sweep_continues_with_the_rows_of_an_uninterrupted_one(
  config, flows, tmp_path
):
  whole = _rows(config, flows, tmp_path / "whole")
  results = tmp_path / "whole" / "results.jsonl"
  lines = results.read_text().splitlines(keepends=True)
  # As if it had been killed while it wrote the second run's row.
  results.write_text("".join(lines[:1]) + lines[1][:40])
  continued = _rows(config, flows, tmp_path / "whole")
  assert _by_run(continued) == _by_run(whole)
  assert len(continued) == len(whole) == 4
  assert continued[0] == whole[0]  # To the second: it was not run again.


def test_a_run_that_lacks_a_partitions_row_is_run_again(config, flows, tmp_path):
  flows = flows.replace(
    partitions=flows.partitions + (flows.classes < 0), partition_names=("p", "q")
  )
  partitions = flows.partitions.copy()
  partitions[:9] = 1
  flows = flows.replace(partitions=partitions)
  config.train_partition = "p"
  whole = _rows(config, flows, tmp_path)
  results = tmp_path / "results.jsonl"
  results.write_text("".join(results.read_text().splitlines(keepends=True)[:-1]))
  assert _by_run(_rows(config, flows, tmp_path)) == _by_run(whole)


def test_more_seeds_and_methods_are_added_to_what_is_there(config, flows, tmp_path):
  first = _rows(config, flows, tmp_path)
  config.num_seeds, config.methods = 3, ("multitask", "single_task")
  config.payload_lengths = True  # Says nothing that the flows do not.
  second = _rows(config, flows, tmp_path)
  assert second[: len(first)] == first
  assert len(second) == 12


def test_other_flows_of_the_same_name_are_refused(config, flows, flow_maker, tmp_path):
  _rows(config, flows, tmp_path)
  with pytest.raises(InputError, match="was made with flows = "):
    _rows(config, flow_maker(seed=1), tmp_path)


@pytest.mark.parametrize(
  ("setting", "value", "message"),
  [
    ("methods", ("multitask", "magic"), "config.methods: 'magic' is unknown"),
    ("methods", (), "config.methods: () must name some"),
    ("labels_per_class", (10, 10), "config.labels_per_class: (10, 10) must"),
    ("labels_per_class", (0,), "config.labels_per_class: 0 must be a number above 0"),
    ("labels_per_class", ("some",), "'some' must be a number above 0 or 'all'"),
    ("labels_per_class", (22,), "class 'a' has 30 flows to split, but 5 test"),
    ("num_seeds", 0, "config.num_seeds: 0 must be at least 1"),
    ("k", 5, "k = 5 packets are too few"),
    ("lambda_", -1.0, "lambda: -1.0 must be at least 0"),
    ("lambda_", float("nan"), "lambda: nan must be"),
    ("learning_rate", 0.0, "config.learning_rate: 0.0 must be above 0"),
    ("tasks", ("bandwidth", "colour"), "tasks: 'colour' is unknown; there are band"),
    ("tasks", ("bursts", "bursts"), "must name each once"),
    ("dtype", "int8", "config.dtype: 'int8' must be"),
    ("duration_dividers", (2.0, 1.0), "duration_dividers: (2.0, 1.0) must be"),
    ("bandwidth_dividers", (1.0, 1.0), "bandwidth_dividers: (1.0, 1.0)"),
    ("bandwidth_dividers", (float("nan"),), "bandwidth_dividers: (nan,)"),
    ("train_partition", "nowhere", "no partition 'nowhere', but training; 'all'"),
    ("min_packets", 1000, "no flows are left"),
  ],
)
def test_settings_that_cannot_be_are_named_before_anything_is_written(
  config, flows, tmp_path, setting, value, message
):
  config[setting] = value
  with pytest.raises(InputError) as error:
    _rows(config, flows, tmp_path / "w")
  assert message in str(error.value)
  assert not (tmp_path / "w").exists()


def _run(method="a", seed=0, **fields):
  return runs.Run(method, 10, seed, **{"k": 8, "lambda_": 1.0, **fields})


def test_chunks_are_equal_and_of_one_method():
  many = [_run(seed=seed) for seed in range(10)]
  many += [_run("b", seed) for seed in range(3)]
  chunks = list(sweep._chunks(many, at_once=4))
  assert [(len(chunk), size) for chunk, size in chunks] == [
    (4, 4),
    (4, 4),
    (2, 4),
    (3, 3),
  ]
  assert [run for chunk, _ in chunks for run in chunk] == many


def test_what_differs_in_numbers_alone_is_one_program():
  one = [_run(lambda_=value, duration_dividers=(value,)) for value in (1.0, 9.0)]
  other = [_run(k=9), _run(tasks=()), _run(duration_dividers=(1.0, 2.0))]
  programs = [chunk for chunk, _ in sweep._chunks([one[0], *other, one[1]], at_once=8)]
  assert programs == [one, *[[run] for run in other]]


def test_runs_of_other_settings_share_a_directory_only_when_they_are_swept(
  config, flows, tmp_path
):
  def run(swept, **settings):
    asked_for = runs.label_budgets(config, **settings)
    one = sweep.Sweep(config, "small", flows, tmp_path, asked_for, swept)
    rows = one.finish()
    one.workdir.close()
    return rows

  config.labels_per_class = (4,)
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


def test_a_chunk_out_of_memory_is_halved_and_lost_runs_are_none(
  config, flows, tmp_path, monkeypatch
):
  config.methods = ("nearest_neighbor",)
  config.num_seeds = 3
  config.runs_at_once = 6
  whole = _rows(config, flows, tmp_path / "whole")
  method, sizes = sweep.METHODS["nearest_neighbor"], []

  def of_three(study, drawn, *args):
    sizes.append(len(drawn.num_labelled))
    if sizes[-1] > most:
      raise MemoryError
    return method(study, drawn, *args)

  monkeypatch.setitem(sweep.METHODS, "nearest_neighbor", of_three)
  most = 2
  assert _by_run(_rows(config, flows, tmp_path / "halved")) == _by_run(whole)
  assert sizes == [6, 3, 2, 2, 2]
  most = 0
  with pytest.raises(InputError, match="out of memory with a single run of nearest"):
    _rows(config, flows, tmp_path / "none")
