"""Tests of `mtl_traffic.data.parquet_footer`, against what PyArrow tells."""

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_traffic.data import parquet_footer


def written(**options):
  table = pa.table(
    {
      "number": list(range(100)),
      "text": ["x" * (i % 7) for i in range(100)],
      "list": [[1.5] * (i % 5) for i in range(100)],
    },
    metadata={"some": "words"},
  )
  file = io.BytesIO()
  pq.write_table(table, file, **options)
  return file


@pytest.mark.parametrize(
  "options", [{}, {"row_group_size": 7}, {"use_dictionary": False, "version": "1.0"}]
)
def test_values_and_bytes_are_those_that_pyarrow_tells(options):
  file = written(**options)
  metadata = pq.ParquetFile(file).metadata
  groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
  columns = [group.column(i) for group in groups for i in range(3)]
  assert parquet_footer.unpacked_size(file) == (
    sum(column.num_values for column in columns),
    sum(max(8 * c.num_values, c.total_uncompressed_size) for c in columns),
  )


def test_a_damaged_footer_is_read_or_refused():
  content, rng, num_refused = written().getvalue(), random.Random(0), 0
  footer = int.from_bytes(content[-8:-4], "little") + 8
  for _ in range(2000):
    damaged = bytearray(content)
    damaged[-rng.randrange(1, footer)] ^= rng.randrange(1, 256)
    try:
      parquet_footer.unpacked_size(io.BytesIO(damaged))
    except ValueError:
      num_refused += 1
  assert num_refused > 100


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 9, b"\xff" * 40 + b"PAR1"])
def test_what_has_no_footer_is_refused(content):
  with pytest.raises(ValueError, match="footer"):
    parquet_footer.unpacked_size(io.BytesIO(content))
