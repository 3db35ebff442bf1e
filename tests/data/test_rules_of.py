import pytest

from mtl_traffic import data
from mtl_traffic.data import parquet
from mtl_traffic.errors import InputError


@pytest.mark.parametrize(
  "rules", [{"speed": 1}, {"udp_silence_s": -1}, {"payload_lengths": "yes"}]
)
def test_rules_that_cannot_be_are_told_before_training(flows, tmp_path, rules):
  path = tmp_path / "flows.parquet"
  parquet.write(flows, path, rules)
  with pytest.raises(InputError, match="its rules of flows are invalid"):
    data.rules_of(str(path))
  parquet.write(flows, path, {"payload_lengths": True})
  assert data.rules_of(str(path)) == {"payload_lengths": True}
