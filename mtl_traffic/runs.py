"""A run: the values that identify it among the runs of a comparison."""

import dataclasses

from mtl_traffic.errors import InputError
from mtl_traffic.settings import Settings
from mtl_traffic.tasks import MAIN_TASKS


@dataclasses.dataclass(frozen=True)
class Run:
  """A method, trained on the draw of one seed and tested after `packets` packets.

  Attributes:
    method: the method's name.
    labels_per_class: labelled training flows of each class, or "all".
    seed: seed of the draw.
    k: packets that the method reads.
    packets: packets of each flow at test time; k unless it was trained on prefixes.
    lambda_: weight of the class task.
    learning_rate: Adam's learning rate.
    clip_norm: largest norm of a step's gradient.
    tasks: the tasks that multitask learns beside the class.
    bandwidth_dividers: bytes/s; empty = computed from the labelled flows.
    duration_dividers: s; empty = computed from the labelled flows.
    signed_lengths: whether lengths carry the direction's sign.
    mask: how unlabelled flows are kept out of the class task, see the setting.
    balancing: how multitask balances its losses, see the setting.
    labelling: which flows are labelled, see the setting.
    shortest_prefix: the shortest prefix, in packets, that it is trained on; None = it
      is trained on all k packets only.
  """

  method: str
  labels_per_class: int | str
  seed: int
  k: int
  packets: int
  lambda_: float = 1.0
  learning_rate: float = 1e-3
  clip_norm: float = 1.0
  tasks: tuple[str, ...] = MAIN_TASKS
  bandwidth_dividers: tuple[float, ...] = ()
  duration_dividers: tuple[float, ...] = ()
  signed_lengths: bool = True
  mask: str = "loss"
  balancing: str = "sum"
  labelling: str = "random"
  shortest_prefix: int | None = None

  @classmethod
  def of(cls, row: dict) -> "Run":
    """The run that a row of results belongs to.

    Raises:
      InputError: the row lacks a field of the run.
    """
    try:
      fields = {name: row[_IN_A_ROW.get(name, name)] for name in FIELDS}
    except KeyError as error:
      raise InputError(
        f"a row of the work directory lacks the field {error}; an older version made "
        "it, so take another directory"
      ) from None
    return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()})

  def identity(self) -> dict:
    """The fields of a row that identify its run."""
    return {_IN_A_ROW.get(name, name): getattr(self, name) for name in FIELDS}

  def fitted(self) -> "Run":
    """The run with packets = k. Runs for which this is equal share a trained model."""
    return dataclasses.replace(self, packets=self.k)

  def dividers(self) -> dict[str, tuple[float, ...]]:
    """The dividers that are set; the others are computed from the labelled flows."""
    given = {"bandwidth": self.bandwidth_dividers, "duration": self.duration_dividers}
    return {task: dividers for task, dividers in given.items() if dividers}


FIELDS = tuple(field.name for field in dataclasses.fields(Run))
_IN_A_ROW = {"lambda_": "lambda"}


def label_budgets(settings: Settings, **fields) -> list[Run]:
  """The runs of all methods, seeds and label budgets, ordered by seed.

  Args:
    settings: see `Settings`.
    **fields: fields of `Run` that replace the settings.
  """
  defaults = {
    name: getattr(settings, name)
    for name in FIELDS
    if name in vars(settings) and name != "shortest_prefix"
  }
  fields = {**defaults, **fields}
  del fields["labels_per_class"]
  fields.setdefault("packets", fields["k"])
  seeds = range(settings.first_seed, settings.first_seed + settings.num_seeds)
  return [
    Run(method=method, seed=seed, labels_per_class=labels, **fields)
    for method in settings.methods
    for seed in seeds
    for labels in settings.labels_per_class
  ]
