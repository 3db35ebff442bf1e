"""The methods that are compared: one module each, all with the same call shape.

`METHODS[name](study, draws, lambdas, queries, on_epoch)` trains on R draws and returns
per task the scores `[R, Q, classes]` of the flows asked about; see `study.Method`.
"""

from mtl_traffic.methods import (
  cnn_rnn,
  forest_propagation,
  multitask,
  nearest_neighbor,
  random_forest,
  single_task,
  transfer,
)
from mtl_traffic.study import Method

METHODS: dict[str, Method] = {
  "multitask": multitask.multitask,
  "single_task": single_task.single_task,
  "transfer": transfer.transfer,
  "transfer_fine_tuned": transfer.transfer_fine_tuned,
  "cnn_rnn": cnn_rnn.cnn_rnn,
  "random_forest": random_forest.random_forest,
  "random_forest_online": random_forest.random_forest_online,
  "nearest_neighbor": nearest_neighbor.nearest_neighbor,
  "forest_propagation": forest_propagation.forest_propagation,
}

# A method of ours without one of its parts, to see what each contributes.
ABLATIONS: dict[str, Method] = {
  f"forest_propagation_without_{part}": forest_propagation.without(part)
  for part in forest_propagation.PARTS
}
