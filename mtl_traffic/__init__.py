"""Few-label network traffic classification by multi-task learning.

From a flow's first packets: what it is, how much bandwidth it takes, how long it lasts.
The way through: flows → encode, divide → model → loss → step → sweep → accuracy.
"""

import importlib

__version__ = "0.2.0"

# Where each name is from. Imported when it is used, as JAX takes a second that not all
# commands need.
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
  # Whoever uses the library by its names may map JAX over what they give.
  importlib.import_module(f"{__name__}.pytrees")
  value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
