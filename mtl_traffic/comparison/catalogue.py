"""The experiments: the title, runs, table and figure of each."""

from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from mtl_traffic.charts import OURS
from mtl_traffic.comparison import figures, labellings, published
from mtl_traffic.comparison.experiment import Experiment
from mtl_traffic.comparison.rows import accuracy_table
from mtl_traffic.errors import InputError
from mtl_traffic.runs import Run, label_budgets
from mtl_traffic.settings import LABELLINGS, Settings
from mtl_traffic.tables import Table
from mtl_traffic.tasks import MAIN_TASKS

_Drawn = Callable[[list[dict], Mapping], Figure]
_DIVIDERS = ("bandwidth_dividers", "duration_dividers")
_MIDPOINTS = dict.fromkeys(_DIVIDERS, ())
_AS_THE_PAPER_SAYS = {
  "mask": "loss",
  "signed_lengths": True,
  "bandwidth_dividers": (),
  "duration_dividers": (),
}
_FIXED_DIVIDERS = {
  "bandwidth_dividers": (10e3, 50e3, 100e3, 1e6),
  "duration_dividers": (10.0, 30.0, 60.0),
}
_AUTHORS_VARIANTS = (
  {},
  {"mask": "features"},
  {"signed_lengths": False},
  _FIXED_DIVIDERS,
  {"mask": "features", "signed_lengths": False, **_FIXED_DIVIDERS},
)


def _label_budget_table(rows: list[dict], paper: Mapping) -> Table:
  return accuracy_table(
    rows,
    ("method", "labels_per_class"),
    _of_paper(paper),
    reference={"method": "multitask"},
    reference_name="multitask",
  )


def _label_budget_figure(rows: list[dict], paper: Mapping) -> Figure:
  return figures.label_budget_figure(rows, _of_paper(paper))


def _of_paper(paper: Mapping) -> dict[tuple, list[float]]:
  return {(method, labels): values for method, labels, *values in paper["paper"]}


def _packet_budgets(settings: Settings) -> list[Run]:
  return [run for k in settings.packet_budgets for run in label_budgets(settings, k=k)]


def _lambdas(settings: Settings) -> list[Run]:
  return [
    run
    for value in settings.lambdas
    for run in label_budgets(settings, lambda_=float(value))
  ]


def _learning_rates(settings: Settings) -> list[Run]:
  return [
    run
    for value in settings.learning_rates
    for run in label_budgets(settings, learning_rate=float(value))
  ]


def _divider_rows(settings: Settings) -> list[Run]:
  return [
    run
    for row in settings.divider_rows
    for run in label_budgets(settings, **dict(zip(_DIVIDERS, row, strict=True)))
  ]


def _divider_table(rows: list[dict], paper: Mapping) -> Table:
  of_paper = {
    (bandwidth, duration): values
    for bandwidth, duration, *values in map(_hashable, paper["paper_dividers"])
  }
  return accuracy_table(rows, _DIVIDERS, of_paper, _MIDPOINTS, "midpoints")


def _hashable(row: list) -> list:
  return [tuple(value) if isinstance(value, list) else value for value in row]


def _task_sets(settings: Settings) -> list[Run]:
  return [
    run for tasks in settings.task_sets for run in label_budgets(settings, tasks=tasks)
  ]


def _variants(settings: Settings) -> list[Run]:
  return [
    run
    for variant in _AUTHORS_VARIANTS
    for run in label_budgets(settings, **{**_AS_THE_PAPER_SAYS, **variant})
  ]


def _balancings(settings: Settings) -> list[Run]:
  from mtl_traffic import balancing  # With JAX, which a report does without.

  return [
    run
    for how in balancing.BALANCINGS
    for run in label_budgets(settings, balancing=how)
  ]


def _labellings(settings: Settings) -> list[Run]:
  return [run for how in LABELLINGS for run in label_budgets(settings, labelling=how)]


def _any_k(settings: Settings) -> list[Run]:
  """For each seed, one model for any number of packets, and one model per number."""
  from mtl_traffic import models  # Imports JAX, which reports do not need.

  settings = settings.replace(methods=("multitask",))
  budgets = sorted(settings.packet_budgets)
  shortest = settings.shortest_prefix or 1
  if not shortest <= budgets[0]:
    raise InputError(
      f"shortest_prefix = {shortest} must be 1 to {budgets[0]}, the smallest of "
      "packet_budgets"
    )
  of_each = [
    run
    for packets in budgets
    # With fewer packets the network cannot be built; only the common model is run.
    if packets >= models.FEWEST_PACKETS
    for run in label_budgets(settings, k=packets)
  ]
  of_any = [
    run
    for packets in budgets
    for run in label_budgets(
      settings, k=budgets[-1], packets=packets, shortest_prefix=shortest
    )
  ]
  return of_each + of_any


def _any_k_table(rows: list[dict], paper: Mapping) -> Table:
  del paper  # The paper has no such table.
  return accuracy_table(
    rows,
    ("shortest_prefix", "labels_per_class", "packets"),
    reference={"shortest_prefix": None},
    reference_name="a model per number",
  )


def _ablation(settings: Settings) -> list[Run]:
  from mtl_traffic.methods import ABLATIONS  # Imports JAX, which reports do not need.

  return label_budgets(settings.replace(methods=(OURS, *ABLATIONS)))


def _protocol_table(rows: list[dict], paper: Mapping) -> Table:
  return published.table(rows, paper["published"])


def _labelling_table(rows: list[dict], paper: Mapping) -> Table:
  del paper  # The paper has no such table.
  return labellings.table(rows)


def _labelling_figure(rows: list[dict], paper: Mapping) -> Figure:
  del paper
  return figures.labelling_figure(rows)


def _table(*fields: str, reference: Mapping | None = None, name: str = ""):
  """The table of an experiment for which the paper has no table."""

  def table(rows: list[dict], paper: Mapping) -> Table:
    del paper
    return accuracy_table(rows, fields, reference=reference, reference_name=name)

  return table


def _figure(field: str, title: str, logarithmic: bool = False) -> _Drawn:
  """The figure of accuracies against a field of the rows."""

  def figure(rows: list[dict], paper: Mapping) -> Figure:
    del paper
    return figures.sweep_figure(rows, field, title, logarithmic)

  return figure


def _differences(*fields: str, reference: Mapping, name: str) -> _Drawn:
  """The figure of the differences in `_table`."""

  def figure(rows: list[dict], paper: Mapping) -> Figure:
    del paper
    return figures.difference_figure(rows, fields, reference, name)

  return figure


_ALL = (
  Experiment(
    name="label_budget",
    title="Accuracy against labels per class (Tables III and V)",
    runs=label_budgets,
    table=_label_budget_table,
    figure=_label_budget_figure,
  ),
  Experiment(
    name="protocol",
    title="Under the rules of others, beside what they have published",
    runs=label_budgets,
    table=_protocol_table,
    figure=_label_budget_figure,
    introduction=published.INTRODUCTION,
    by_papers_rules=False,
  ),
  Experiment(
    name="packet_budget",
    title="Accuracy against the number of packets (Figures 5 and 7)",
    runs=_packet_budgets,
    table=_table("method", "labels_per_class", "k"),
    figure=_figure("k", "packets"),
    swept=("k",),
  ),
  Experiment(
    name="lambda_sweep",
    title="Accuracy against the weight of the class task (Figures 6 and 8)",
    runs=_lambdas,
    table=_table("method", "labels_per_class", "lambda"),
    figure=_figure("lambda", "λ", logarithmic=True),
    swept=("lambda_",),
  ),
  Experiment(
    name="learning_rate_sweep",
    title="Accuracy against the learning rate",
    runs=_learning_rates,
    table=_table("method", "labels_per_class", "learning_rate"),
    figure=_figure("learning_rate", "learning rate", logarithmic=True),
    swept=("learning_rate",),
  ),
  Experiment(
    name="divider_sweep",
    title="Accuracy with other dividers (Table IV)",
    runs=_divider_rows,
    table=_divider_table,
    figure=_differences(*_DIVIDERS, reference=_MIDPOINTS, name="midpoints"),
    swept=_DIVIDERS,
  ),
  Experiment(
    name="auxiliary_tasks",
    title="Accuracy with other auxiliary tasks (section VI)",
    runs=_task_sets,
    table=_table(
      "tasks",
      "labels_per_class",
      reference={"tasks": MAIN_TASKS},
      name=", ".join(MAIN_TASKS),
    ),
    figure=_differences(
      "tasks", reference={"tasks": MAIN_TASKS}, name=", ".join(MAIN_TASKS)
    ),
    swept=("tasks",),
  ),
  Experiment(
    name="authors_variants",
    title="Effect of the differences between the authors' code and the paper",
    runs=_variants,
    table=_table(
      "labels_per_class",
      *_AS_THE_PAPER_SAYS,
      reference=_AS_THE_PAPER_SAYS,
      name="as the paper says",
    ),
    figure=_differences(
      *_AS_THE_PAPER_SAYS, reference=_AS_THE_PAPER_SAYS, name="the paper's text"
    ),
    swept=tuple(_AS_THE_PAPER_SAYS),
  ),
  Experiment(
    name="loss_balancing",
    title="Other ways to balance the losses of the tasks",
    runs=_balancings,
    table=_table(
      "method",
      "labels_per_class",
      "balancing",
      reference={"balancing": "sum"},
      name="sum",
    ),
    figure=_differences(
      "labels_per_class", "balancing", reference={"balancing": "sum"}, name="sum"
    ),
    swept=("balancing",),
  ),
  Experiment(
    name="labelling",
    title="Accuracy with labels of random flows and of chosen flows",
    runs=_labellings,
    table=_labelling_table,
    figure=_labelling_figure,
    swept=("labelling",),
    introduction=labellings.INTRODUCTION,
  ),
  Experiment(
    name="any_k",
    title="One model for any number of packets",
    runs=_any_k,
    table=_any_k_table,
    figure=_figure("packets", "packets"),
    swept=("k",),
  ),
  Experiment(
    name="ablation",
    title="What each part of our method contributes",
    runs=_ablation,
    table=_table(
      "labels_per_class", "method", reference={"method": OURS}, name="full method"
    ),
    figure=_differences(
      "labels_per_class", "method", reference={"method": OURS}, name="full method"
    ),
  ),
)

EXPERIMENTS: dict[str, Experiment] = {one.name: one for one in _ALL}
