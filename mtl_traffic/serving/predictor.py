"""Predicts flows with a trained model.

    predictor = load_model(DIR)
    answers = predictor(flows)
    answers.probabilities["class"]  # [N, classes]

The probabilities are the mean over the members of an ensemble. They are calibrated by
the temperature that was fitted on validation flows.
"""

import concurrent.futures
import dataclasses
import functools
import io
import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mtl_traffic import encoding, files
from mtl_traffic.encoding import FirstPackets
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, Packets
from mtl_traffic.methods.base import Method, Parameters
from mtl_traffic.serving import checkpoints
from mtl_traffic.serving.checkpoints import Description
from mtl_traffic.serving.judgement import Judgement, certainty, judge

# Sizes of batches. Only these are compiled. In larger batches the activations do not
# fit a core's cache, and throughput falls.
BATCH_SIZES = (16, 32, 64, 128)
_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


@dataclasses.dataclass(frozen=True)
class Answers:
  """A model's answers for N flows.

  Attributes:
    probabilities: per task `[N, classes]` float32.
    names: per task its class names.
    familiarity: `[N]` float32, how similar the flows are to the training flows, 0 to 1.
  """

  probabilities: dict[str, np.ndarray]
  names: dict[str, tuple[str, ...]]
  familiarity: np.ndarray | float = 1.0

  def confidences(self, task: str) -> np.ndarray:
    """`[N]`, the probability of each flow's most probable class."""
    return np.max(self.probabilities[task], axis=-1)

  def certainties(self, task: str) -> np.ndarray:
    """`[N]`, how certain each flow's answer is, see `judgement.certainty`."""
    return certainty(self.probabilities[task], self.familiarity)

  def labels(self, task: str, threshold: float = 0.0) -> np.ndarray:
    """`[N]` int, the most probable class; −1 = certainty is below the threshold."""
    return judge(self.probabilities[task], self.familiarity, threshold=threshold).labels


class Predictor:
  """A trained model, ready to answer."""

  def __init__(self, description: Description, parameters: Parameters):
    """Args:
    description: the model's description.
    parameters: the parameters; the members of the ensemble are the leading axis.
    """
    self.description = description
    self.names = description.names()
    self.tasks = tuple(self.names)
    self._method = description.make()
    # Split with NumPy: JAX would compile a program for each shape.
    parameters = jax.tree.map(np.asarray, parameters)
    self._members = [
      jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), parameters)
      for i in range(len(jax.tree.leaves(parameters)[0]))
    ]
    self._temperatures = {
      task: jnp.float32(description.temperatures[task]) for task in self.tasks
    }
    # A single call does not keep a CPU's cores busy; one call per core does not either.
    self._pool = concurrent.futures.ThreadPoolExecutor(
      os.cpu_count() + 1 if jax.default_backend() == "cpu" else 1
    )

  @property
  def k(self) -> int:
    """Packets that the model reads of a flow."""
    return self.description.k

  @property
  def fewest(self) -> int:
    """The fewest packets of a flow for an answer to count; training had no shorter."""
    # A model for all k packets also answers for flows that end before the k-th.
    shortest = self.description.settings.get("shortest_prefix") or 1
    return max(self.description.min_packets, shortest)

  def judge(
    self, answers: Answers, task: str, seen: np.ndarray, threshold: float = 0.0
  ) -> Judgement:
    """Decides which of the answers for N flows count, for one task.

    Args:
      answers: this model's answers.
      task: one of its tasks.
      seen: `[N]`, the packets of each flow that the answers are based on.
      threshold: flows of lower certainty are unknown.
    """
    return judge(
      answers.probabilities[task],
      answers.familiarity,
      threshold=threshold,
      seen=seen,
      fewest=self.fewest,
    )

  def __call__(self, flows: Flows | Packets, num_packets: int | None = None) -> Answers:
    """Predicts N flows.

    Args:
      flows: flows, or their first packets `[N, P]`.
      num_packets: how many of their first packets to read; by default k.

    Raises:
      InputError: the model cannot answer after this number of packets.
    """
    packets = flows.packets if isinstance(flows, Flows) else flows
    num_packets = self.k if num_packets is None else num_packets
    self.check_num_packets(num_packets)
    first = encoding.first_packets(packets, self.k, num_packets)
    starts = range(0, max(len(first.counts), 1), BATCH_SIZES[-1])
    answer = functools.partial(self._answer, first)
    parts = self._pool.map(answer, starts) if len(starts) > 1 else map(answer, starts)
    probabilities, familiarity = jax.tree.map(
      lambda *leaves: np.concatenate(leaves), *parts
    )
    return Answers(probabilities, self.names, familiarity)

  def check_num_packets(self, num_packets: int) -> None:
    """Raises an InputError if the model cannot answer after this number of packets."""
    shortest = self.description.shortest_prefix
    if not shortest <= num_packets <= self.k:
      able = f"{self.k}" if shortest == self.k else f"{shortest} to {self.k}"
      raise InputError(
        f"the model answers after {able} packets, not {num_packets}; "
        "train another, or ask for that"
      )

  def warm_up(self) -> None:
    """Compiles for all batch sizes, so that no answer waits for compilation."""
    batches = [_no_packets(size, self.k) for size in BATCH_SIZES]
    list(self._pool.map(self._asked, batches))

  def export(self, path: str | os.PathLike) -> None:
    """Writes the model as one file that needs only JAX to run.

    The file is a zip of `model.json`, with `k` and the class `names`, and
    `predict.jax`, a function that `jax.export` serialised. Its arguments are float32
    `inter_arrival_times` `[N, k]` (seconds since the previous packet, 0 for the first),
    int32 `lengths` `[N, k]` (bytes), int8 `directions` `[N, k]` (±1, 0 = padding) and
    int32 `counts` `[N]`, for any N. It returns per task probabilities `[N, classes]`:

        with zipfile.ZipFile(path) as file:
          predict = jax.export.deserialize(bytearray(file.read("predict.jax"))).call
          names = json.loads(file.read("model.json"))["names"]

    JAX guarantees that releases of the next six months can read it.

    Raises:
      InputError: `mtl_traffic[export]` is not installed, or the file cannot be written.
    """
    (num_flows,) = jax.export.symbolic_shape("N")
    arguments = [
      jax.ShapeDtypeStruct((num_flows, *leaf.shape[1:]), leaf.dtype)
      for leaf in jax.tree.leaves(_no_packets(1, self.k))
    ]
    exported = jax.export.export(jax.jit(self.function()), platforms=_PLATFORMS)(
      *arguments
    )
    try:
      serialized = bytes(exported.serialize())
    except ImportError as error:
      raise InputError(
        f"{error}; pip install 'mtl_traffic[export]' installs it"
      ) from None
    names = {"k": self.k, "names": self.names}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
      file.writestr("model.json", json.dumps(names, indent=2) + "\n")
      file.writestr("predict.jax", serialized)
    with files.replacing(path) as partial:
      partial.write_bytes(content.getvalue())

  def function(self):
    """The model as a pure function of the fields of `FirstPackets`, in that order."""

    def predict(inter_arrival_times, lengths, directions, counts):
      probabilities, _ = self._asked(
        FirstPackets(inter_arrival_times, lengths, directions, counts)
      )
      return probabilities

    return predict

  def _answer(
    self, first: FirstPackets, start: int
  ) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Probabilities and familiarity of the flows of one batch."""
    rows = slice(start, start + BATCH_SIZES[-1])
    num_flows = len(first.counts[rows])
    batch = _no_packets(next(n for n in BATCH_SIZES if n >= num_flows), self.k)
    for padded, leaf in zip(
      jax.tree.leaves(batch), jax.tree.leaves(first), strict=True
    ):
      padded[:num_flows] = leaf[rows]
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_flows], self._asked(batch))

  def _asked(self, batch: FirstPackets) -> tuple[dict[str, jax.Array], jax.Array]:
    return _ask(self._members, self._temperatures, batch, method=self._method)


def load_model(path: str | os.PathLike) -> Predictor:
  """Loads a trained model from its folder.

  Raises:
    InputError: there is no model, or it is cut short, damaged or of another format.
  """
  return Predictor(*checkpoints.load(path))


@functools.partial(jax.jit, static_argnames="method")
def _ask(
  members: Sequence[Parameters],
  temperatures: Mapping[str, jax.Array],
  packets: FirstPackets,
  *,
  method: Method,
) -> tuple[dict[str, jax.Array], jax.Array]:
  """Probabilities per task, and familiarity."""
  inputs = method.inputs(packets)
  # A Python loop: in a compiled loop matrix products are several times slower.
  scores = [method.apply(parameters, inputs) for parameters in members]

  def probabilities(task: str) -> jax.Array:
    of_members = jnp.stack([jax.nn.log_softmax(of_one[task]) for of_one in scores])
    mean = jax.nn.logsumexp(of_members, axis=0) - math.log(len(members))
    return jax.nn.softmax(mean / temperatures[task])

  familiarity = [method.familiarity(parameters, inputs) for parameters in members]
  return (
    {task: probabilities(task) for task in temperatures},
    jnp.mean(jnp.stack(familiarity), axis=0),
  )


def _no_packets(num_flows: int, k: int) -> FirstPackets:
  return FirstPackets(
    inter_arrival_times=np.zeros((num_flows, k), np.float32),
    lengths=np.zeros((num_flows, k), np.int32),
    directions=np.zeros((num_flows, k), np.int8),
    counts=np.zeros(num_flows, np.int32),
  )
