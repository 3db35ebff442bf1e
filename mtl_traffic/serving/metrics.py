"""What a run has done so far, in Prometheus' format, over HTTP.

Nothing is counted for it: at each scrape, the books that the run keeps are read. Needs
the extra `metrics`.
"""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from mtl_traffic.data.captures import Accounts
from mtl_traffic.errors import InputError
from mtl_traffic.files import reason
from mtl_traffic.serving.checkpoints import Description
from mtl_traffic.serving.tally import DELAYS, Tally

_PREFIX = "mtl_traffic_"


def check() -> None:
  """Raises an InputError if metrics cannot be served."""
  try:
    import prometheus_client  # noqa: F401
  except ImportError:
    raise InputError(
      "prometheus_client is missing; pip install 'mtl_traffic[metrics]' brings it"
    ) from None


@contextlib.contextmanager
def served(
  port: int,
  address: str,
  description: Description,
  books: Sequence[Accounts],
  tally: Tally,
) -> Iterator[None]:
  """Serves metrics, as a context.

  Args:
    port: TCP's.
    address: of the interface to listen on.
    description: of the model that answers.
    books: of what was read, one for each capture; more may be added meanwhile.
    tally: of what was answered.

  Raises:
    InputError: nobody can listen there.
  """
  from prometheus_client import CollectorRegistry, start_http_server

  registry = CollectorRegistry()
  registry.register(_Collector(description, books, tally))
  try:
    server, thread = start_http_server(port, address, registry)
  except (OSError, OverflowError) as error:
    why = reason(error) if isinstance(error, OSError) else str(error)
    raise InputError(
      f"{address}, port {port}: {why}; give another port or address"
    ) from None
  try:
    yield
  finally:
    server.shutdown()
    server.server_close()
    thread.join()


class _Collector:
  """Reads the books, from the thread of the server while the run goes on."""

  def __init__(self, description: Description, books: Sequence[Accounts], tally: Tally):
    self._description, self._books, self._tally = description, books, tally

  def describe(self) -> list:
    return []  # Or it would be asked to collect when it is registered.

  def collect(self) -> Iterator:
    yield from _of_model(self._description)
    yield from _of_packets(list(self._books), self._tally)
    yield from _of_answers(self._tally)


def _of_model(description: Description) -> Iterator:
  from prometheus_client.core import InfoMetricFamily

  told = {"method": description.method, "k": str(description.k)}
  told["dataset"] = str(description.data.get("dataset", ""))
  yield InfoMetricFamily(f"{_PREFIX}model", "The model that answers.", told)


def _of_packets(books: Sequence[Accounts], tally: Tally) -> Iterator:
  from prometheus_client.core import GaugeMetricFamily

  for name, meaning, attribute in (
    ("packets_read", "Packets read.", "num_packets"),
    ("packets_in_flows", "Packets that belong to a flow.", "num_in_flows"),
    (
      "packets_lost",
      "Packets that the kernel dropped before they were read.",
      "num_lost",
    ),
  ):
    total = sum(getattr(each, attribute) for each in books)
    yield _counter(name, meaning, (), {(): total})
  skipped, ended = {}, {}
  for each in books:
    # Copies: the run may add a cause meanwhile.
    for cause, count in dict(each.skipped).items():
      skipped[(cause,)] = skipped.get((cause,), 0) + count
    for key, count in dict(each.flows).items():
      ended[key] = ended.get(key, 0) + count
  yield _counter("packets_skipped", "Packets that are in no flow.", ("cause",), skipped)
  yield _counter(
    "flows_ended", "Flows that ended, and why.", ("protocol", "reason"), ended
  )
  yield GaugeMetricFamily(
    f"{_PREFIX}flows_open", "Flows that are open.", value=tally.num_open
  )


def _of_answers(tally: Tally) -> Iterator:
  from prometheus_client.core import HistogramMetricFamily

  yield _counter("answers", "Answers written.", (), {(): tally.num_answers})
  labels = ("task", "class", "unknown_because")

  def named(counts: dict) -> dict:
    return {(task, name, why or ""): n for (task, name, why), n in counts.items()}

  # The sum first: a scrape in between finds a mean too small, never one above 1.
  sums, counts = named(dict(tally.probabilities)), named(dict(tally.answers))
  yield _counter("flows_answered", "Flows, by their last answers.", labels, counts)
  yield _counter(
    "confidence_sum",
    "Sum of the probabilities of these answers; over flows_answered it is their mean.",
    labels,
    sums,
  )
  results = {True: "right", False: "wrong", None: "unknown"}
  evaluated = {
    (task, "yes" if ended else "no", results[is_right]): n
    for (task, ended, is_right), n in dict(tally.evaluated).items()
  }
  yield _counter(
    "flows_evaluated",
    "Flows that ended, by whether their bandwidth and duration came true.",
    ("task", "came_to_end", "result"),
    evaluated,
  )
  labelled = {(results[is_right],): n for is_right, n in dict(tally.labelled).items()}
  yield _counter(
    "flows_labelled", "Flows with a label, by the class.", ("result",), labelled
  )
  below = np.cumsum(tally.delays).tolist()
  bounds = [*(f"{bound:g}" for bound in DELAYS), "+Inf"]
  yield HistogramMetricFamily(
    f"{_PREFIX}answer_delay_seconds",
    "From a packet of an interface to the answer that it brought.",
    buckets=list(zip(bounds, below, strict=True)),
    sum_value=tally.sum_of_delays,
  )


def _counter(name: str, meaning: str, labels: Sequence[str], values: dict):
  from prometheus_client.core import CounterMetricFamily

  family = CounterMetricFamily(f"{_PREFIX}{name}", meaning, labels=labels)
  for key, value in values.items():
    family.add_metric(list(map(str, key)), value)
  return family
