"""The paper's network in Keras and PyTorch, for comparison in the benchmark.

All peers train on the same shapes: Table II's trunk with a head per task, a masked
class task, and Adam at 1e-3 on clipped gradients. They need the `peers` extra. Each
runs in a process of its own, so that libraries do not disturb each other's threads or
devices.
"""

import contextlib
import functools
import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection

import numpy as np

_CONVOLUTIONS = ((2, 32, 32), (32, 64, 64), (64, 128, 128))  # Channels, Table II.

# Takes inputs `[N, k, 2]`, targets `[N]` of each task (−1 = none) and the batch size;
# returns a function that trains an epoch.
Peer = Callable[[np.ndarray, Mapping[str, np.ndarray], int], Callable[[], None]]


def keras_peer(
  inputs: np.ndarray, targets: Mapping[str, np.ndarray], batch_size: int
) -> Callable[[], None]:
  """The model of the authors' script, trained by `fit` as in the script."""
  os.environ["KERAS_BACKEND"] = "tensorflow"
  os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
  import keras

  flow, mask = keras.Input(inputs.shape[1:]), keras.Input((1,))
  x = flow
  for _, *block in _CONVOLUTIONS:
    for filters in block:
      x = keras.layers.Conv1D(filters, 3, activation="relu")(x)
    x = keras.layers.MaxPooling1D(2)(x)
  x = keras.layers.Flatten()(x)
  for _ in range(2):
    x = keras.layers.Dense(256, activation="relu")(x)
  features = dict.fromkeys(targets, x)
  # This is how the authors keep unlabelled flows out of the class task.
  features["class"] = keras.layers.Multiply()([x, mask])
  outputs = [
    keras.layers.Dense(int(target.max()) + 1, activation="softmax")(features[task])
    for task, target in targets.items()
  ]
  model = keras.Model([flow, mask], outputs)
  model.compile(
    optimizer=keras.optimizers.Adam(1e-3, clipnorm=1.0),
    loss=["sparse_categorical_crossentropy"] * len(targets),
  )
  labelled = (targets["class"] >= 0).astype(np.float32)[:, None]
  known = [np.maximum(target, 0) for target in targets.values()]
  return lambda: model.fit(
    [inputs, labelled], known, batch_size=batch_size, epochs=1, verbose=0
  )


def torch_peer(
  inputs: np.ndarray,
  targets: Mapping[str, np.ndarray],
  batch_size: int,
  compiled: bool = False,
) -> Callable[[], None]:
  """The same model and step in PyTorch, eager or with `torch.compile`."""
  import torch
  from torch import nn

  torch.manual_seed(0)
  device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
  layers = []
  for channels, *block in _CONVOLUTIONS:
    for filters in block:
      layers += [nn.Conv1d(channels, filters, 3), nn.ReLU()]
      channels = filters
    layers += [nn.MaxPool1d(2)]
  layers += [nn.Flatten(), nn.LazyLinear(256), nn.ReLU()]
  layers += [nn.Linear(256, 256), nn.ReLU()]
  trunk = nn.Sequential(*layers)
  # A module may not be named "class".
  heads = nn.ModuleList(nn.Linear(256, int(t.max()) + 1) for t in targets.values())
  x = torch.from_numpy(inputs).transpose(1, 2).contiguous().to(device)
  known = [torch.from_numpy(t).long().to(device) for t in targets.values()]
  trunk(x[:1].cpu())  # Initialises the lazy layer's shape.
  trunk, heads = trunk.to(device), heads.to(device)
  parameters = [*trunk.parameters(), *heads.parameters()]
  adam = torch.optim.Adam(parameters, 1e-3, fused=True)

  def loss(x: torch.Tensor, known: list[torch.Tensor]) -> torch.Tensor:
    features = trunk(x)
    of_tasks = [
      nn.functional.cross_entropy(
        head(features), target, ignore_index=-1, reduction="sum"
      )
      for head, target in zip(heads, known, strict=True)
    ]
    return sum(of_tasks) / batch_size

  objective = torch.compile(loss) if compiled else loss

  def epoch() -> None:
    order = torch.randperm(len(x), device=device)
    for batch in order.split(batch_size):
      adam.zero_grad()
      objective(x[batch], [target[batch] for target in known]).backward()
      nn.utils.clip_grad_norm_(parameters, 1.0)
      adam.step()
    if device.type == "cuda":
      torch.cuda.synchronize()

  return epoch


PEERS: dict[str, tuple[str, Peer]] = {
  "Keras 3 (TensorFlow)": ("tensorflow", keras_peer),
  "PyTorch": ("torch", torch_peer),
  "PyTorch, compiled": ("torch", functools.partial(torch_peer, compiled=True)),
}


@contextlib.contextmanager
def epochs_of(
  name: str, inputs: np.ndarray, targets: Mapping[str, np.ndarray], batch_size: int
) -> Iterator[Callable[[], float] | None]:
  """Starts a peer; returns a function that trains an epoch and returns its seconds.

  If the peer is not installed or cannot run, prints the reason and returns None.
  """
  module, peer = PEERS[name]
  if importlib.util.find_spec(module) is None:
    print(f"{name} is left out; pip install 'mtl_traffic[peers]' installs it")
    yield None
    return
  context = multiprocessing.get_context("spawn")
  here, there = context.Pipe()
  process = context.Process(
    target=_serve, args=(there, peer, inputs, targets, batch_size), daemon=True
  )
  process.start()
  there.close()

  def seconds() -> float:
    here.send(True)
    return here.recv()

  try:
    problem = here.recv()
  except EOFError:
    problem = "its process ended"
  try:
    if problem:
      print(f"{name} is left out: {problem}")
    yield None if problem else seconds
  finally:
    here.close()
    process.join()


def _serve(connection: Connection, peer: Peer, *arguments) -> None:
  """Trains an epoch at each request, and sends the seconds that it took."""
  try:
    epoch = peer(*arguments)
    epoch()  # Traces, compiles, and finds its memory.
  except Exception as error:
    connection.send(" ".join(str(error).split())[:200] or type(error).__name__)
    return
  connection.send("")
  while True:
    try:
      connection.recv()
    except EOFError:
      return
    begun = time.perf_counter()
    epoch()
    connection.send(time.perf_counter() - begun)
