"""Columns of Arrow in the forms that pandas, polars, DuckDB and Spark write them."""

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_UUID_BYTES = 16


def as_text(values: pa.Array) -> pa.Array:
  """Names or ids as strings.

  A float that is NaN is missing. Bytes are UTF-8, a UUID if there are 16 of fixed
  length, or else become hexadecimal.

  Raises:
    pa.ArrowException: they are of a type that has no text.
  """
  values = _plain(values)
  if pa.types.is_floating(values.type):
    values = pc.if_else(pc.is_nan(values), None, values)
  if pa.types.is_fixed_size_binary(values.type):
    is_uuid = values.type.byte_width == _UUID_BYTES
    write = _uuid if is_uuid else bytes.hex
    texts = [None if b is None else write(b) for b in values.to_pylist()]
    return pa.array(texts, pa.string())
  if _is_bytes(values.type):
    try:
      return values.cast(pa.string())
    except pa.ArrowInvalid:
      texts = [None if b is None else b.hex() for b in values.to_pylist()]
      return pa.array(texts, pa.string())
  return values.cast(pa.string())


def is_text(kind: pa.DataType) -> bool:
  """Whether a column is of text or bytes, of any length."""
  return (
    pa.types.is_string(kind)
    or pa.types.is_large_string(kind)
    or pa.types.is_binary(kind)
    or pa.types.is_large_binary(kind)
  )


def longest_text(values: pa.Array) -> int:
  """Bytes of the longest of names or ids; 0 if they are neither text nor bytes."""
  if isinstance(values.type, pa.BaseExtensionType):
    values = values.storage
  if pa.types.is_dictionary(values.type):
    values = values.dictionary  # Which may stand for far more than it takes.
  if not is_text(values.type) or not len(values):
    return 0
  return pc.max(pc.binary_length(values)).as_py() or 0


def as_numbers(values: pa.Array, dtype: pa.DataType) -> np.ndarray:
  """Numbers without gaps as an array.

  Raises:
    pa.ArrowException: they are not all of that type.
  """
  return _plain(values).cast(dtype).to_numpy(zero_copy_only=False)


def as_lists(values: pa.Array) -> tuple[pa.Array, np.ndarray] | None:
  """What stands in lists, one after another, and the length of each; None if no lists.

  Args:
    values: lists without a missing one: of fixed size or any, also large.
  """
  values = _plain(values)
  kind = values.type
  if not (
    pa.types.is_list(kind)
    or pa.types.is_large_list(kind)
    or pa.types.is_fixed_size_list(kind)
  ):
    return None
  lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
  return values.flatten(), lengths.astype(np.int64)


def _plain(values: pa.Array) -> pa.Array:
  """The same values, neither coded by a dictionary nor of a type of their own."""
  if isinstance(values.type, pa.BaseExtensionType):
    values = values.storage
  if pa.types.is_dictionary(values.type):
    values = values.dictionary_decode()
  return values


def _is_bytes(kind: pa.DataType) -> bool:
  return (
    pa.types.is_binary(kind)
    or pa.types.is_large_binary(kind)
    or pa.types.is_binary_view(kind)
  )


def _uuid(packed: bytes) -> str:
  return str(uuid.UUID(bytes=packed))
