"""A model's answers inside NFStream, which the extra `nfstream` brings.

    from nfstream import NFStreamer
    from mtl_traffic.serving.nfstream_plugin import Answers

    for flow in NFStreamer(source="capture.pcap", udps=Answers(model="DIR")):
      print(flow.src_ip, flow.udps.mtl_class, flow.udps.mtl_class_probability)

A flow has its answer from its k-th packet on, or when it expires before that. Meters
are processes of their own, which NFStream forks: each loads the model when it sees its
first packet. Nothing must have used JAX before in the process that makes the streamer.
"""

import numpy as np
from nfstream import NFPlugin

from mtl_traffic.flows import pad_packets
from mtl_traffic.serving import checkpoints
from mtl_traffic.serving.answer_columns import of_task
from mtl_traffic.serving.judgement import REASON_NAMES, UNKNOWN_NAME

_PROTOCOLS = (6, 17)  # TCP and UDP, of which models are.


class Answers(NFPlugin):
  """Gives a flow `udps.mtl_class`, `mtl_bandwidth`, `mtl_duration` and what is beside.

  Those are of the tasks that the model has, each with `…_probability`,
  `…_certainty` and `…_unknown_because`; and `mtl_packets`, how many packets the answer
  is based on. All are None of flows other than TCP and UDP, and until there is an
  answer.
  """

  def __init__(self, model: str, threshold: float = 0.0):
    """Args:
    model: the folder of a trained model.
    threshold: what is less certain is unknown.

    Raises:
      InputError: there is no model.
    """
    content = checkpoints.read_description(model)  # All else where it is used.
    names = [name for task in content["temperatures"] for name in of_task(task)]
    super().__init__(
      model=str(model),
      threshold=threshold,
      names=("packets", *names),
      predictor=None,
      seen={},  # By flow that has no answer yet: times, lengths and directions.
    )

  def on_init(self, packet, flow) -> None:
    """Takes the first packet of a flow."""
    for name in self.names:
      setattr(flow.udps, f"mtl_{name}", None)
    if packet.protocol in _PROTOCOLS:
      self.seen[id(flow)] = []
      self.on_update(packet, flow)

  def on_update(self, packet, flow) -> None:
    """Takes another packet, and answers for the flow if it is the k-th."""
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
    """Answers for a flow that had fewer packets."""
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
      names = (*predictor.names[task], UNKNOWN_NAME)
      (label,), (why,) = judged.labels.tolist(), judged.reasons.tolist()
      (confidence,), (certainty,) = (
        of(task).tolist() for of in (answers.confidences, answers.certainties)
      )
      values = (
        names[label],
        round(confidence, 6),
        round(certainty, 6),
        REASON_NAMES.get(why),
      )
      found |= dict(zip(of_task(task), values, strict=True))
    for name, value in found.items():
      setattr(flow.udps, f"mtl_{name}", value)
