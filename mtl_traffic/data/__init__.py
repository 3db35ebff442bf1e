"""Loads flows; each source of flows is a module or folder."""

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
_STORED_PACKETS = 256  # Packets of a flow that a builder stores by default.


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
    dataset: `simulated`; the name of a TFDS builder, whose dataset is prepared on first
      use; or the path of a Parquet file in the curated layout, or a folder of them.
    max_packets: how many packets of each flow to keep; by default all.
    data_dir: the folder for datasets that TFDS has prepared; by default TFDS's own.
    manual_dir: the folder with the source files of a builder.
    group_by: the column for the flows' `groups`, see `parquet.read`. Other datasets can
      only be grouped by capture, which is their partition.

  Raises:
    InputError: the dataset does not exist, or holds an invalid value.
  """
  if _is_file(dataset):
    return parquet.read(dataset, max_packets, group_by)
  flows = _load(dataset, max_packets, data_dir, manual_dir)
  if not group_by:
    return flows
  if group_by not in ("capture", "partition"):
    raise InputError(
      f"split_by: {dataset} has no column {group_by!r}; it has only capture"
    )
  return flows.replace(groups=np.array(flows.partition_names)[flows.partitions])


def _load(
  dataset: str, max_packets: int | None, data_dir: str | None, manual_dir: str | None
) -> Flows:
  if dataset == "simulated":
    sizes = {} if max_packets is None else {"max_packets": max_packets}
    return validate(simulated.simulate(**sizes), dataset)
  if dataset in BUILDERS:
    # Imported here: TFDS takes a second to import, and other datasets do not need it.
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
  """The rules stored with a dataset's flows; see `captures.Rules.shared`.

  Raises:
    InputError: a file cannot be read, or its rules are invalid.
  """
  if _is_file(dataset):
    rules = parquet.read_rules(dataset)
    try:
      captures.Rules().with_shared(rules)
    except (InputError, TypeError) as error:
      raise InputError(f"{dataset}: its rules of flows are invalid: {error}") from None
    return rules
  return captures.DEFAULT_RULES.shared if dataset in _FROM_CAPTURES else {}


def texts_of(dataset: str, names: Sequence[str]) -> dict[str, list[str | None]]:
  """Further text columns of a dataset, by name, in the order of its flows.

  Raises:
    InputError: a file cannot be read.
  """
  return parquet.read_texts(dataset, names) if _is_file(dataset) else {}


def _is_file(dataset: str) -> bool:
  is_path = dataset.endswith(".parquet") or os.sep in dataset
  return is_path or os.path.isdir(dataset)
