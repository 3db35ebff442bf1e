"""The methods that are compared: one module each, all with the same call shape.

`METHODS[name](study, draws, lambdas, queries, on_epoch)` trains on R draws and returns
per task the scores `[R, Q, classes]` of the flows asked about; see `study.Method`.
"""

from mtl_traffic.methods.multitask import multitask
from mtl_traffic.methods.single_task import single_task
from mtl_traffic.study import Method

METHODS: dict[str, Method] = {
  "multitask": multitask,
  "single_task": single_task,
}
