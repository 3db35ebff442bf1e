"""Answers for flows, by a trained model.

    predictor = load(DIR)
    answers = predictor(flows)
    answers.probabilities["class"]  # [N, classes]

The probabilities are the mean over the model's networks, calibrated by the temperature
that was fitted on validation flows.
"""

import concurrent.futures
import dataclasses
import functools
import io
import json
import math
import os
import pathlib
import zipfile
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic import checkpoints
from mtl_traffic.checkpoints import Description
from mtl_traffic.encoding import Encoding
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, Packets

# Flows in a batch are one of these numbers, so that no other is ever compiled. Beyond
# the largest, activations leave a core's cache, and flows a second become fewer.
BATCH_SIZES = (16, 32, 64, 128)
UNKNOWN = -1  # The label of a flow of which too little is known.


@dataclasses.dataclass(frozen=True)
class Answers:
  """What a model says of N flows.

  Attributes:
    probabilities: per task `[N, classes]` float32.
    names: per task what its classes are called.
  """

  probabilities: dict[str, np.ndarray]
  names: dict[str, tuple[str, ...]]

  def confidences(self, task: str) -> np.ndarray:
    """`[N]`, the probability of each flow's most probable class."""
    return np.max(self.probabilities[task], axis=-1)

  def labels(self, task: str, threshold: float = 0.0) -> np.ndarray:
    """`[N]` int, the most probable class; −1 where it is less so than the threshold."""
    probabilities = self.probabilities[task]
    labels = np.argmax(probabilities, axis=-1)
    return np.where(np.max(probabilities, axis=-1) < threshold, UNKNOWN, labels)


class Predictor:
  """A trained model, ready to answer."""

  def __init__(self, description: Description, variables: Mapping):
    """Args:
    description: what the model is.
    variables: the parameters of R networks, R as leading axis.
    """
    self.description = description
    self.names = description.names()
    self.tasks = tuple(self.names)
    self._network = description.network()
    self._networks = [
      jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), variables)
      for i in range(len(jax.tree.leaves(variables)[0]))
    ]
    self._temperatures = {
      task: jnp.float32(description.temperatures[task]) for task in self.tasks
    }
    # One call does not keep the cores of a CPU busy, nor do as many as there are.
    self._pool = concurrent.futures.ThreadPoolExecutor(
      os.cpu_count() + 1 if jax.default_backend() == "cpu" else 1
    )

  @property
  def k(self) -> int:
    """Packets that the model reads of a flow."""
    return self.description.k

  def __call__(self, flows: Flows | Packets, num_packets: int | None = None) -> Answers:
    """Answers for N flows.

    Args:
      flows: flows, or their first packets `[N, P]`.
      num_packets: look at so many of their first packets only; k by default.

    Raises:
      InputError: the model cannot answer after so few packets, or so many.
    """
    packets = flows.packets if isinstance(flows, Flows) else flows
    num_packets = self.k if num_packets is None else num_packets
    self.check_num_packets(num_packets)
    num_flows = len(packets.counts)
    starts = range(0, max(num_flows, 1), BATCH_SIZES[-1])
    answer = functools.partial(self._answer, packets, num_packets)
    parts = self._pool.map(answer, starts) if len(starts) > 1 else map(answer, starts)
    return Answers(
      jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts), self.names
    )

  def check_num_packets(self, num_packets: int) -> None:
    """Raises an InputError if the model cannot answer after so many packets."""
    shortest = self.description.shortest_prefix or self.k
    if not shortest <= num_packets <= self.k:
      able = f"{self.k}" if shortest == self.k else f"{shortest} to {self.k}"
      raise InputError(
        f"the model answers after {able} packets, not {num_packets}; "
        "train another, or ask for that"
      )

  def warm_up(self) -> None:
    """Compiles for all sizes of batches, so that no answer has to wait for it."""
    list(self._pool.map(self, [_no_packets(size, self.k) for size in BATCH_SIZES]))

  def export(self, path: str | os.PathLike) -> None:
    """Writes the model as one file that runs with JAX alone.

    A zip file of `model.json`, with `k` and the `names` of the classes, and
    `predict.jax`, a function serialised by `jax.export` of float32 `times` `[N, k]`
    (s), int32 `lengths` `[N, k]` (bytes), int8 `directions` `[N, k]` (±1, 0 = padding)
    and int32 `counts` `[N]`, for any N, that returns per task probabilities
    `[N, classes]`:

        with zipfile.ZipFile(path) as file:
          predict = jax.export.deserialize(bytearray(file.read("predict.jax"))).call
          names = json.loads(file.read("model.json"))["names"]

    JAX promises to read it for six months of its releases.

    Raises:
      InputError: `mtl_traffic[export]` is not installed, or the file cannot be written.
    """
    (num_flows,) = jax.export.symbolic_shape("N")
    arguments = [
      jax.ShapeDtypeStruct((num_flows, *leaf.shape[1:]), leaf.dtype)
      for leaf in _leaves(_no_packets(1, self.k))
    ]
    exported = jax.export.export(
      jax.jit(self.function()), platforms=("cpu", "cuda", "rocm", "tpu")
    )(*arguments)
    try:
      serialized = bytes(exported.serialize())
    except ImportError as error:
      raise InputError(f"{error}; mtl_traffic[export] brings it") from None
    names = {"k": self.k, "names": self.names}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
      file.writestr("model.json", json.dumps(names, indent=2) + "\n")
      file.writestr("predict.jax", serialized)
    path = pathlib.Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      partial.write_bytes(content.getvalue())
      partial.replace(path)
    except OSError as error:
      raise InputError(f"{path}: cannot be written ({error.strerror})") from None

  def function(self):
    """The model as a pure function of `times, lengths, directions, counts`."""

    def predict(times, lengths, directions, counts):
      return _probabilities(
        self._networks,
        self._temperatures,
        Packets(times, lengths, directions, counts),
        network=self._network,
        encoding=self.description.encoding,
        k=self.k,
      )

    return predict

  def _answer(
    self, packets: Packets, num_packets: int, start: int
  ) -> dict[str, np.ndarray]:
    """Probabilities of the flows of one batch."""
    rows = slice(start, min(start + BATCH_SIZES[-1], len(packets.counts)))
    num_flows = rows.stop - rows.start
    size = next(size for size in BATCH_SIZES if size >= num_flows)
    batch = _no_packets(size, self.k)
    width = min(num_packets, packets.times.shape[1])
    for padded, leaf in zip(_leaves(batch)[:3], _leaves(packets)[:3], strict=True):
      padded[:num_flows, :width] = leaf[rows, :width]
    batch.counts[:num_flows] = np.minimum(packets.counts[rows], num_packets)
    answers = _probabilities(
      self._networks,
      self._temperatures,
      batch,
      network=self._network,
      encoding=self.description.encoding,
      k=self.k,
    )
    return {task: np.asarray(p)[:num_flows] for task, p in answers.items()}


def load(path: str | os.PathLike) -> Predictor:
  """The model that `experiments.train` or `checkpoints.save` left in a folder.

  Raises:
    InputError: there is no model, it is cut short or damaged, or of another format.
  """
  return Predictor(*checkpoints.load(path))


@functools.partial(jax.jit, static_argnames=("network", "encoding", "k"))
def _probabilities(
  networks: Sequence[Mapping],
  temperatures: Mapping[str, jax.Array],
  packets: Packets,
  *,
  network: nn.Module,
  encoding: Encoding,
  k: int,
) -> dict[str, jax.Array]:
  inputs = encoding(packets, k)
  # Not a loop of the compiler's, in which matrix products are several times slower.
  logits = [network.apply(variables, inputs) for variables in networks]

  def probabilities(task: str) -> jax.Array:
    of_networks = jnp.stack([jax.nn.log_softmax(of_one[task]) for of_one in logits])
    scores = jax.nn.logsumexp(of_networks, axis=0) - math.log(len(networks))
    return jax.nn.softmax(scores / temperatures[task])

  return {task: probabilities(task) for task in temperatures}


def _leaves(packets: Packets) -> tuple:
  return packets.times, packets.lengths, packets.directions, packets.counts


def _no_packets(num_flows: int, k: int) -> Packets:
  return Packets(
    times=np.zeros((num_flows, k), np.float32),
    lengths=np.zeros((num_flows, k), np.int32),
    directions=np.zeros((num_flows, k), np.int8),
    counts=np.zeros(num_flows, np.int32),
  )
