import numpy as np
import pytest

from mtl_traffic import data
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError


def test_simulated_flows_come_by_name():
  flows = data.load("simulated", max_packets=20)
  assert flows.packets.times.shape == (len(flows), 20)


def test_a_path_is_read_as_parquet(tmp_path, flows):
  path = tmp_path / "f.parquet"
  parquet.write(flows, path)
  np.testing.assert_array_equal(data.load(str(path)).ids, flows.ids)


def test_an_unknown_dataset_is_named():
  with pytest.raises(InputError, match="dataset 'mnist' is unknown"):
    data.load("mnist")
