"""Adds a model's answers to flows of NFStream; needs the extra `nfstream`.

    from nfstream import NFStreamer
    from mtl_traffic.serving.nfstream_plugin import Answers

    for flow in NFStreamer(source="capture.pcap", udps=Answers(model="DIR")):
      print(flow.src_ip, flow.udps.mtl_class, flow.udps.mtl_class_probability)

A flow gets its answer at its k-th packet, or when it expires before that. NFStream
forks a process for each meter; each loads the model at its first packet. The process
that makes the streamer must not have used JAX before.
"""

import numpy as np
from nfstream import NFPlugin

from mtl_traffic.flows import pad_packets
from mtl_traffic.serving import answer_columns, checkpoints

_PROTOCOLS = (6, 17)  # TCP and UDP; models are trained on these only.


class Answers(NFPlugin):
  """Adds `udps.mtl_class`, `mtl_bandwidth` and `mtl_duration` to flows.

  There is one field for each of the model's tasks, and for each of them
  `…_probability`, `…_certainty` and `…_unknown_because`. `mtl_packets` is the number of
  packets that the answer is based on. All are None until there is an answer, and for
  flows other than TCP and UDP.
  """

  def __init__(self, model: str, threshold: float = 0.0):
    """Args:
    model: the folder of a trained model.
    threshold: flows of lower certainty are unknown.

    Raises:
      InputError: the folder holds no model.
    """
    content = checkpoints.read_description(model)  # The meters load the rest.
    names = [
      name for task in content["temperatures"] for name in answer_columns.of_task(task)
    ]
    super().__init__(
      model=str(model),
      threshold=threshold,
      names=("packets", *names),
      predictor=None,
      seen={},  # Times, lengths and directions of flows that have no answer yet.
    )

  def on_init(self, packet, flow) -> None:
    """Handles the first packet of a flow."""
    for name in self.names:
      setattr(flow.udps, f"mtl_{name}", None)
    if packet.protocol in _PROTOCOLS:
      self.seen[id(flow)] = []
      self.on_update(packet, flow)

  def on_update(self, packet, flow) -> None:
    """Handles a further packet; predicts the flow at the k-th."""
    seen = self.seen.get(id(flow))
    if seen is None:
      return
    predictor = self._loaded()
    of_payload = predictor.description.rules["payload_lengths"]
    length = packet.payload_size if of_payload else packet.ip_size
    seen.append((packet.time, length, -1 if packet.direction else 1))
    if len(seen) == predictor.k:
      self._answer(flow)

  def on_expire(self, flow) -> None:
    """Predicts a flow that had fewer than k packets."""
    if id(flow) in self.seen:
      self._answer(flow)

  def _loaded(self):
    if self.predictor is None:
      from mtl_traffic.serving.predictor import load_model

      self.predictor = load_model(self.model)
    return self.predictor

  def _answer(self, flow) -> None:
    predictor, seen = self._loaded(), self.seen.pop(id(flow))
    milliseconds, lengths, directions = np.array(seen, np.int64).T
    packets, _ = pad_packets(milliseconds / 1e3, lengths, directions, [len(seen)])
    answers = predictor(packets)
    found = {"packets": len(seen)}
    for task in predictor.tasks:
      judged = predictor.judge(answers, task, packets.counts, self.threshold)
      columns = answer_columns.values(answers, task, judged)
      found |= {name: value for name, (value,) in columns.items()}
    for name, value in found.items():
      setattr(flow.udps, f"mtl_{name}", value)
