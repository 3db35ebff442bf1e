"""Few-label network traffic classification by multi-task learning.

From a flow's first packets: what it is, how much bandwidth it takes, how long it lasts.
The way through: flows → encode, divide → model → loss → step → sweep → accuracy.
"""

from mtl_traffic.data import load
from mtl_traffic.draws import (
  ALL_LABELS,
  Draw,
  FlowTable,
  draw,
  draw_many,
  flow_table,
)
from mtl_traffic.encoding import encode, first_packets, inter_arrival_times
from mtl_traffic.errors import InputError
from mtl_traffic.evaluation import Estimate, accuracy, mean_with_interval
from mtl_traffic.flows import Flows, Packets, concatenate, pad_packets, validate
from mtl_traffic.losses import masked_cross_entropy, multitask_loss
from mtl_traffic.models import MultitaskCNN, heads_of
from mtl_traffic.splits import Split, draw_split, labelled
from mtl_traffic.study import Method, Study
from mtl_traffic.sweeps import fit, predict
from mtl_traffic.targets import bandwidths, class_averages, divide, midpoint_dividers
from mtl_traffic.tasks import MAIN_TASKS, TASKS
from mtl_traffic.training import (
  Assignment,
  Schedule,
  TrainState,
  init_state,
  train_epochs,
  train_step,
)

__all__ = [
  "ALL_LABELS",
  "MAIN_TASKS",
  "TASKS",
  "Assignment",
  "Draw",
  "Estimate",
  "FlowTable",
  "Flows",
  "InputError",
  "Method",
  "MultitaskCNN",
  "Packets",
  "Schedule",
  "Split",
  "Study",
  "TrainState",
  "accuracy",
  "bandwidths",
  "class_averages",
  "concatenate",
  "divide",
  "draw",
  "draw_many",
  "draw_split",
  "encode",
  "first_packets",
  "fit",
  "flow_table",
  "heads_of",
  "init_state",
  "inter_arrival_times",
  "labelled",
  "load",
  "masked_cross_entropy",
  "mean_with_interval",
  "midpoint_dividers",
  "multitask_loss",
  "pad_packets",
  "predict",
  "train_epochs",
  "train_step",
  "validate",
]
