"""Few-label network traffic classification by multi-task learning.

Predicts a flow's class, bandwidth and duration from its first packets.
The order of the modules: flows → encode, divide → model → loss → step → sweep →
accuracy.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:  # `__getattr__` gives these names; type checkers do not run it.
  # isort: off
  from mtl_traffic.data import load as load
  from mtl_traffic.draws import (
    ALL_LABELS as ALL_LABELS,
    Draw as Draw,
    FlowTable as FlowTable,
    draw as draw,
    draw_many as draw_many,
    flow_table as flow_table,
  )
  from mtl_traffic.encoding import (
    FirstPackets as FirstPackets,
    encode as encode,
    first_packets as first_packets,
    inter_arrival_times as inter_arrival_times,
  )
  from mtl_traffic.errors import InputError as InputError
  from mtl_traffic.evaluation import (
    Estimate as Estimate,
    accuracy as accuracy,
    mean_with_interval as mean_with_interval,
  )
  from mtl_traffic.flows import (
    Flows as Flows,
    Packets as Packets,
    concatenate as concatenate,
    pad_packets as pad_packets,
    validate as validate,
  )
  from mtl_traffic.losses import (
    masked_cross_entropy as masked_cross_entropy,
    multitask_loss as multitask_loss,
  )
  from mtl_traffic.methods import METHODS as METHODS
  from mtl_traffic.methods.base import Method as Method, Problem as Problem
  from mtl_traffic.models import MultitaskCNN as MultitaskCNN, heads_of as heads_of
  from mtl_traffic.serving.predictor import load_model as load_model
  from mtl_traffic.splits import (
    Split as Split,
    draw_split as draw_split,
    labelled as labelled,
  )
  from mtl_traffic.sweeps import fit as fit, predict as predict
  from mtl_traffic.targets import (
    bandwidths as bandwidths,
    class_averages as class_averages,
    divide as divide,
    midpoint_dividers as midpoint_dividers,
  )
  from mtl_traffic.tasks import MAIN_TASKS as MAIN_TASKS, TASKS as TASKS
  from mtl_traffic.training import (
    Assignment as Assignment,
    Schedule as Schedule,
    TrainState as TrainState,
    init_state as init_state,
    optimizer as optimizer,
    train_epochs as train_epochs,
    train_step as train_step,
  )

# The module of each name. Names are imported when first used: importing JAX takes a
# second, and not all commands need it.
_MODULES = {
  "data": ("load",),
  "draws": ("ALL_LABELS", "Draw", "FlowTable", "draw", "draw_many", "flow_table"),
  "encoding": ("FirstPackets", "encode", "first_packets", "inter_arrival_times"),
  "errors": ("InputError",),
  "evaluation": ("Estimate", "accuracy", "mean_with_interval"),
  "flows": ("Flows", "Packets", "concatenate", "pad_packets", "validate"),
  "losses": ("masked_cross_entropy", "multitask_loss"),
  "methods": ("METHODS",),
  "methods.base": ("Method", "Problem"),
  "models": ("MultitaskCNN", "heads_of"),
  "serving.predictor": ("load_model",),
  "splits": ("Split", "draw_split", "labelled"),
  "sweeps": ("fit", "predict"),
  "targets": ("bandwidths", "class_averages", "divide", "midpoint_dividers"),
  "tasks": ("MAIN_TASKS", "TASKS"),
  "training": (
    "Assignment",
    "Schedule",
    "TrainState",
    "init_state",
    "optimizer",
    "train_epochs",
    "train_step",
  ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> object:
  if name not in _MODULE_OF:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  # Users of these names may pass flows and packets through JAX transformations.
  importlib.import_module(f"{__name__}.pytrees")
  value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
