"""What all runs of a comparison share."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mtl_traffic.draws import Draw
from mtl_traffic.flows import Flows
from mtl_traffic.tasks import MAIN_TASKS
from mtl_traffic.training import Schedule


@dataclasses.dataclass(frozen=True)
class Study:
  """The flows, how the model reads them, and how long it is trained.

  Attributes:
    flows: N flows.
    inputs: `[N, k, 2]`, encoded, on the device.
    num_classes: per task, "class" among them, its number of classes.
    schedule: of every network that is trained.
    tasks: what `multitask` learns beside the class.
    mask: what keeps unlabelled flows out of `multitask`'s class task: "loss" leaves
      their loss out, "features" is the authors' mask on what enters the class head.
    dtype: what networks compute in.
  """

  flows: Flows
  inputs: jax.Array
  num_classes: dict[str, int]
  schedule: Schedule
  tasks: tuple[str, ...] = MAIN_TASKS
  mask: str = "loss"
  dtype: jnp.dtype = jnp.float32

  @property
  def k(self) -> int:
    return self.inputs.shape[1]


MASKS = ("loss", "features")

# A method trains on R draws and answers for the flows that it is asked about:
#   method(study, draws, lambdas [R], queries [R, Q], on_epoch) → per task [R, Q, C].
# The scores of a flow's classes rank them; a task that a method lacks is left out.
Method = Callable[
  [Study, Draw, jax.Array, jax.Array, Callable[[], None]], dict[str, jax.Array]
]
