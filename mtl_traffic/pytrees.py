"""Makes flows and packets pytrees of JAX.

Apart from `flows`, so that what reads captures or tables need not import JAX.
"""

import dataclasses

import jax

from mtl_traffic.flows import Flows, Packets

for _kind, _names in ((Packets, ()), (Flows, ("class_names", "partition_names"))):
  jax.tree_util.register_dataclass(
    _kind,
    data_fields=[f.name for f in dataclasses.fields(_kind) if f.name not in _names],
    meta_fields=list(_names),
  )
