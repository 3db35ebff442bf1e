"""The methods that are compared: one module each, all with the same call shape.

`METHODS[name](study, draws, lambdas, queries, on_epoch)` trains on R draws and returns
per task the scores `[R, Q, classes]` of the flows asked about; see `study.Method`.
"""

from mtl_traffic.methods import (
  cnn_rnn,
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
}
