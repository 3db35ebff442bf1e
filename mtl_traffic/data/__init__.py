"""Where flows come from: one module or folder a source."""

import importlib
import os
from collections.abc import Sequence

import numpy as np

from mtl_traffic.data import captures, parquet, simulated
from mtl_traffic.errors import InputError
from mtl_traffic.flows import Flows, validate

BUILDERS = (
  "ucdavis_icdm19",
  "iscx_vpn2016",
  "iot_devices",
  "video_sessions",
)  # Folders of TFDS builders.
_FROM_CAPTURES = ("iscx_vpn2016", "iot_devices")
_STORED_PACKETS = 256  # What a builder stores of a flow, unless more are asked for.


def load(
  dataset: str,
  max_packets: int | None = None,
  *,
  data_dir: str | None = None,
  manual_dir: str | None = None,
  group_by: str = "",
) -> Flows:
  """Loads a dataset by name or path.

  Args:
    dataset: `simulated`; the name of a TFDS builder, which prepares itself the first
      time; or the path of a Parquet file in the curated layout, or a folder of them.
    max_packets: how many packets of each flow to keep; all that there are by default.
    data_dir: where TFDS keeps what it has prepared; its own default if not given.
    manual_dir: where the files lie that a builder is to prepare.
    group_by: what the flows' `groups` are, see `parquet.read`; other datasets have
      the capture, which is their partition.

  Raises:
    InputError: there is no such dataset, or it holds something that cannot be.
  """
  if _is_file(dataset):
    return parquet.read(dataset, max_packets, group_by)
  flows = _load(dataset, max_packets, data_dir, manual_dir)
  if not group_by:
    return flows
  if group_by not in ("capture", "partition"):
    raise InputError(
      f"split_by: {dataset} has no column {group_by!r}; it has capture alone"
    )
  return flows.replace(groups=np.array(flows.partition_names)[flows.partitions])


def _load(
  dataset: str, max_packets: int | None, data_dir: str | None, manual_dir: str | None
) -> Flows:
  if dataset == "simulated":
    sizes = {} if max_packets is None else {"max_packets": max_packets}
    return validate(simulated.simulate(**sizes), dataset)
  if dataset in BUILDERS:
    # TFDS takes a second to import, which other datasets need not wait for.
    from mtl_traffic.data import tfds_flows

    module = importlib.import_module(f"{__name__}.{dataset}.{dataset}_dataset_builder")
    config = module.config(max(max_packets or 0, _STORED_PACKETS))
    builder = module.Builder(data_dir=data_dir, config=config)
    tfds_flows.prepare(builder, manual_dir)
    return validate(tfds_flows.load(builder, max_packets), dataset)
  raise InputError(
    f"dataset {dataset!r} is unknown; give simulated, {', '.join(BUILDERS)}, "
    "or the path of a .parquet file"
  )


def rules_of(dataset: str) -> dict[str, object]:
  """What made the flows of a dataset, as far as it says; see `captures.Rules.shared`.

  Raises:
    InputError: a file cannot be read, or says what cannot be.
  """
  if _is_file(dataset):
    rules = parquet.read_rules(dataset)
    try:
      captures.Rules().with_shared(rules)
    except (InputError, TypeError) as error:
      raise InputError(f"{dataset}: what made its flows cannot be: {error}") from None
    return rules
  return captures.DEFAULT_RULES.shared if dataset in _FROM_CAPTURES else {}


def texts_of(dataset: str, names: Sequence[str]) -> dict[str, list[str | None]]:
  """Further columns of text that a dataset has, by name, in the order of its flows.

  Raises:
    InputError: a file cannot be read.
  """
  return parquet.read_texts(dataset, names) if _is_file(dataset) else {}


def _is_file(dataset: str) -> bool:
  is_path = dataset.endswith(".parquet") or os.sep in dataset
  return is_path or os.path.isdir(dataset)
