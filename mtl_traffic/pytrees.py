"""Registers flows and packets as JAX pytrees.

This is not done in `flows`, so that code that reads captures or tables need not import
JAX.
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
