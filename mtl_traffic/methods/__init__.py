"""The methods that are compared, trained and served: one module each.

`base.Method` is what they have in common.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

from mtl_traffic.errors import InputError
from mtl_traffic.methods.base import Method
from mtl_traffic.methods.cnn_rnn import CnnRnn
from mtl_traffic.methods.multitask import Multitask
from mtl_traffic.methods.nearest_neighbor import (
  NearestNeighbor,
  NearestNeighbor30Packets,
)
from mtl_traffic.methods.random_forest import RandomForest, RandomForestOnline
from mtl_traffic.methods.single_task import SingleTask
from mtl_traffic.methods.transfer import Transfer, TransferFineTuned
from mtl_traffic.methods.whole_flow_distillation import PARTS, WholeFlowDistillation

METHODS: dict[str, type[Method]] = {
  "multitask": Multitask,
  "single_task": SingleTask,
  "transfer": Transfer,
  "transfer_fine_tuned": TransferFineTuned,
  "cnn_rnn": CnnRnn,
  "random_forest": RandomForest,
  "random_forest_online": RandomForestOnline,
  "nearest_neighbor": NearestNeighbor,
  "nearest_neighbor_30_packets": NearestNeighbor30Packets,
  "whole_flow_distillation": WholeFlowDistillation,
}

# A method of ours without one of its parts, to see what each contributes.
ABLATIONS: dict[str, Callable[..., Method]] = {
  f"whole_flow_distillation_without_{part}": functools.partial(
    WholeFlowDistillation, parts=tuple(other for other in PARTS if other != part)
  )
  for part in PARTS
}


def make(name: str, settings: Mapping[str, object]) -> Method:
  """A method of `METHODS` or `ABLATIONS`, with those of the settings that it reads.

  Raises:
    InputError: there is no such method, or a setting cannot be.
  """
  if name not in METHODS | ABLATIONS:
    raise InputError(f"method {name!r} is unknown; there are {', '.join(METHODS)}")
  kind = (METHODS | ABLATIONS)[name]
  cls = kind.func if isinstance(kind, functools.partial) else kind
  read = {field.name for field in dataclasses.fields(cls)}
  if isinstance(kind, functools.partial):
    read -= set(kind.keywords)
  return kind(**{key: value for key, value in settings.items() if key in read})
