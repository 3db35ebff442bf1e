"""Converts Arrow columns, in all forms that pandas, polars, DuckDB and Spark write."""

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_UUID_BYTES = 16


def as_text(values: pa.Array) -> pa.Array:
  """Names or ids as strings.

  A NaN becomes missing. Bytes of variable length are read as UTF-8, or written as
  hexadecimal if that fails. Bytes of fixed length become a UUID if they are 16, and
  hexadecimal otherwise.

  Raises:
    pa.ArrowException: the type cannot be converted to text.
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
  """Whether a type is text or bytes, of any length."""
  return (
    pa.types.is_string(kind)
    or pa.types.is_large_string(kind)
    or pa.types.is_binary(kind)
    or pa.types.is_large_binary(kind)
  )


def longest_text(values: pa.Array) -> int:
  """Bytes of the longest name or id; 0 if the column is neither text nor bytes."""
  if isinstance(values.type, pa.BaseExtensionType):
    values = values.storage
  if pa.types.is_dictionary(values.type):
    values = values.dictionary  # Decoded, the column could need far more memory.
  if not is_text(values.type) or not len(values):
    return 0
  return pc.max(pc.binary_length(values)).as_py() or 0


def as_numbers(values: pa.Array, dtype: pa.DataType) -> np.ndarray:
  """Converts a column without missing values to an array.

  Raises:
    pa.ArrowException: a value cannot be converted to the type.
  """
  return _plain(values).cast(dtype).to_numpy(zero_copy_only=False)


def as_lists(values: pa.Array) -> tuple[pa.Array, np.ndarray] | None:
  """Flattens a column of lists.

  Args:
    values: lists of fixed or any size, none missing.

  Returns:
    The elements of all lists, and the length of each list. None if these are no lists.
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
  """The same values without dictionary encoding or extension type."""
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
