"""Where flows come from: one module or folder a source."""

import os

from mtl_traffic.data import parquet, simulated
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, validate


def load(dataset: str, max_packets: int | None = None) -> Flows:
  """Loads a dataset by name or path.

  Args:
    dataset: `simulated`, or the path of a Parquet file in the curated layout.
    max_packets: how many packets of each flow to keep; all that there are by default.

  Raises:
    InputError: there is no such dataset, or it holds something that cannot be.
  """
  if dataset == "simulated":
    sizes = {} if max_packets is None else {"max_packets": max_packets}
    return validate(simulated.simulate(**sizes), dataset)
  if dataset.endswith(".parquet") or os.sep in dataset:
    return parquet.read(dataset, max_packets)
  raise InputError(
    f"dataset {dataset!r} is unknown; give simulated or the path of a .parquet file"
  )
